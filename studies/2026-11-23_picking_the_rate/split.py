"""Which tasks may choose constants, and which are only ever judged. Written down before the first judged run."""

TUNING = ("friedman-dense", "blobs-dense", "digits-dense", "waves-conv", "adding-gru")
JUDGED = (
    *("boston-dense", "products-dense-bn", "spirals-tanh-deep", "fashion-dense", "fashion-conv-bn", "cifar-conv"),
    *("cifar-dense-dropout", "digits-conv", "digits-lstm", "digits-attention", "recall-attention"),
    "waves-gru-small-batch",
)
# Of the two further questions: horizon and schedule.
FURTHER = ("friedman-dense", "blobs-dense", "digits-dense", "waves-conv")
