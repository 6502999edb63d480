"""The split into tuning tasks, which may choose constants, and judged tasks; fixed before the first judged run."""

TUNING = ("friedman-dense", "blobs-dense", "digits-dense", "waves-conv", "adding-gru")
JUDGED = (
    *("boston-dense", "products-dense-bn", "spirals-tanh-deep", "fashion-dense", "fashion-conv-bn", "cifar-conv"),
    *("cifar-dense-dropout", "digits-conv", "digits-lstm", "digits-attention", "recall-attention"),
    "waves-gru-small-batch",
)
# The tasks of the two other questions, on the number of epochs and on the schedule.
VARIED_TASKS = ("friedman-dense", "blobs-dense", "digits-dense", "waves-conv")
