"""The split into tasks that may tune constants and tasks that judge; committed before their first run of the truth."""

TUNING = (
    *("library-attention", "snippets-attention", "cifar-patches", "fashion-patches-sgd", "photo-neighbors-attention"),
    *("hastie-dense", "quantiles-dense", "fashion-autoencoder", "cifar-dense-bn"),
    *("cifar-conv-long", "fashion-residual", "oscillations-residual", "fashion-fine-tuning"),
    *("packages-gru", "license-gru"),
    # Added, see the README.
    *("fashion-dense-few", "classes-few", "teacher-few", "cifar-dense-few"),
    *("columns-attention-few", "fashion-rows-gru-few"),
)
JUDGING = (
    *("license-attention", "markov-attention", "cifar-patches-long", "columns-attention", "counting-attention"),
    *("text-fine-tuning", "columns-residual-dense", "fashion-dense-dropout", "teacher-dense", "terrain-dense"),
    *("cifar-residual", "fashion-conv-noisy-labels", "photo-denoising"),
    *("lorenz-lstm", "fashion-rows-lstm"),
    # Added, see the README.
    *("cifar-colors-few", "clusters-few", "oscillations-dense-few", "photo-neighbors-dense-few"),
    *("fashion-columns-lstm-few", "fashion-patches-few"),
)
