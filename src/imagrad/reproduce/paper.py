"""What the paper states and where it errs: its tables, and its misprints as we read them."""

# ruff: noqa: RUF001  # the symbols are the paper's

from __future__ import annotations

from imagrad.reproduce.page import Table

TITLE = "Interpreting Denoising Autoencoders Employing a Gradient Approach"
CITATION = "Arumugam and Kiran; published in Pattern Recognition 136 (2023), 109212"

COST_FUNCTIONS = Table(
    "What each family of autoencoders minimises, in the paper's notation. Here the denoising one is trained.",
    ("autoencoder", "cost"),
    (
        ("sparse", "L(x, x̂) + λ Σ_i |a_i|, with a_i the activations of the code"),
        ("contractive", "L(x, x̂) + λ Σ_ij (∂g_j/∂x_i)²"),
        ("variational", "L(x, x̂) + λ Σ_j KL(q_j(g|x) ‖ p(g)), with p the unit Gaussian"),
        ("denoising", "L(x, x̂), with x̂ reconstructed from a corrupted copy of x"),
    ),
    number="1",
)

ADAM = Table(
    "The optimiser's settings, the paper's and ours.",
    ("", "β₁", "β₂", "ε", "α"),
    (("paper", "0.9", "0.999", "1e-8", "0.001"), ("here", "0.9", "0.999", "1e-8", "0.001")),
    number="2",
)

CLASSIFIER = Table(
    "The classifier of the third check, layer by layer, as the paper gives it and as it is built here.",
    ("layer", "size", "activation", "data"),
    (
        ("input", "", "", "28 × 28 × 1"),
        ("convolution 1", "32 × 3 × 3", "ReLU", "28 × 28 × 32"),
        ("max pooling 1", "2 × 2", "", "14 × 14 × 32"),
        ("convolution 2", "64 × 3 × 3", "ReLU", "14 × 14 × 64"),
        ("max pooling 2", "2 × 2", "", "7 × 7 × 64"),
        ("convolution 3", "64 × 3 × 3", "ReLU", "7 × 7 × 64"),
        ("max pooling 3", "2 × 2", "", "3 × 3 × 64"),
        ("flattened", "576", "", "576"),
        ("hidden", "128", "ReLU", "128"),
        ("output", "10", "softmax", "10"),
    ),
    note="The paper gives neither optimiser, epochs nor accuracy; here Adam as in Table 2, its step falling along a "
    "half cosine.",
    number="3",
)

MISPRINTS = Table(
    "Where the text of the paper cannot be meant as it is printed, and what we took it to mean.",
    ("place", "printed", "read as"),
    (
        ("Section 4, before Eq. 4", "∂y₃/∂x₁ is computed", "the network has two outputs: ∂y₁/∂x₁ and ∂y₂/∂x₁"),
        ("Eq. 4, 5 and 7", "w₁₁, w₂₁, w₃₁ in Eq. 4, w₂₃ in Eq. 7", "the first row of W: w₁₁, w₁₂, w₁₃"),
        ("Eq. 6", "Re(z₁) + Im(z₁)", "Re(z₁) + i Im(z₁): the factor i is missing"),
        ("Eq. 2", "an error o(h²)", "O(h²): it is of second order, and not smaller"),
        ("Section 5.1, after Eq. 9", "no noise when λ is zero", "κ: Eq. 9 has no λ"),
        ("Eq. 11", "-1/N Σ log p_i", "the whole binary cross-entropy, x log s + (1 - x) log(1 - s), averaged"),
        ("Eq. 12", "∂g₁/∂x_i²", "(∂g₁/∂x_i)²: the derivative is squared, not the pixel"),
        ("Table 1, contractive", "J(x) = Σ (∂g_j/∂x_i)²", "this is the squared Frobenius norm of J, not J"),
        ("Sections 7 and 8", "99.9 % and 99.99 %", "two values for one accuracy, read at 10 % in section 7"),
        ("Section 7", "white regions, rows of white pixels", "the digits of MNIST are white on black: black"),
    ),
)
