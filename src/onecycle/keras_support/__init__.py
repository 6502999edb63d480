"""What onecycle needs of Keras and its backends that has no public name, by subject; nothing here knows a schedule."""
