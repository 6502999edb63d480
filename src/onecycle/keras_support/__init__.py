"""Access to Keras and its backends beyond their public API. Nothing here knows a schedule.

Each module lists the private names it uses and the version of Keras on which they were checked. For each name a test in
`tests/keras/test_keras_support*.py` fails when its meaning changes.
"""
