"""The words of the report: what a section says before its numbers, captions, alternative texts."""

from __future__ import annotations

from typing import Any

from imagrad.checks.verdicts import CheckResult

CHECK_TITLES = {
    "one-class": "Sanity check 1, one class",
    "translation": "Sanity check 2, translation",
    "corruption": "Sanity check 3, corruption",
    "randomisation": "Check 4, randomised networks",
    "locality": "Check 5, local and global maps",
}

CAPTIONS: dict[str, Any] = {
    "summary": (
        "The paper trains a denoising autoencoder, measures by the complex step how strongly each pixel moves the "
        "code, draws that as a map, and offers three sanity checks for it. This page does all of it again, with "
        "numbers where the paper shows pictures: an interval, controls that know no network, and a verdict by "
        "thresholds that were fixed before the run. A check that a trivial picture passes as well as the map does is "
        "no evidence for the map, and is called so.",
    ),
    "claims": (
        'Every quantitative statement of the paper with its section. "Reproduced" means inside the range that the '
        'paper gives; for accuracies that it reads off a figure, within five points; "unaltered" and "little effect" '
        "are taken as at most one point.",
    ),
    "method": (
        "The derivative of each latent g_j with respect to each pixel x_i is Im g_j(x + ih e_i) / h (Eq. 2). The "
        "saliency of a pixel is the root of the sum of their squares over all latents (Eq. 12). It is sensitivity: how "
        "far the code moves for a small change of the pixel at this image. It is not contribution.",
    ),
    "training": (
        "784 - 128 - 32 - 128 - 784 units (or as many pixels as the images have), ReLU and a final sigmoid, weights "
        "not tied, binary cross-entropy, Adam, mini-batches of 25. The weights start Glorot-uniform; the paper does "
        "not say how its own start.",
    ),
    "comparison": (
        "Every method's attributions of each latent are reduced over the latents as in Eq. 12, unless its row says "
        "otherwise, and go through the same checks with the same images and the same networks; with fewer images than "
        "above, as there are many methods. In a check, methods that pass rank before those that fail, then by score; "
        "the methods are sorted by their mean rank. Self-tests of a method on this network are listed here: a method "
        "that does not work as its authors say is ranked as it is, and named.",
    ),
    "reproduce": (
        "Every step is kept in the run folder; killed at any moment, the same command with the same --out goes on. "
        "Numbers are in metrics.json and in CSV files beside this page, figures as PNG and SVG in figures/.",
    ),
    "figure approach": (
        "Flow chart: images get noise, a denoising autoencoder is trained, its encoder is perturbed pixel by pixel by "
        "an imaginary step, norms of the derivatives become a map, three checks follow.",
        "The approach, from images to checked maps.",
    ),
    "figure autoencoder": (
        "Diagram: the encoder narrows the input x to the code g, the decoder widens it to the reconstruction.",
        "An autoencoder: encoder, code, decoder.",
    ),
    "figure small-network": (
        "Diagram: three inputs, each linked to two outputs by weights, with ReLU at the outputs.",
        "The small network on which the paper explains the complex step.",
    ),
    "figure stages": (
        "Diagram in two stages: training of the denoising autoencoder; perturbation of one input by ih and reading of "
        "the imaginary parts of the code.",
        "The two stages: training, then perturbing one pixel at a time.",
    ),
    "figure figure-5-corruption": (
        "Two rows of digits: clean above, with Gaussian noise below.",
        "Images before and after noise is added (Eq. 9).",
    ),
    "figure figure-6-reconstruction": (
        "Two rows of digits: originals above, below what the autoencoder makes of their noisy copies.",
        "Originals, and their reconstructions from noisy copies.",
    ),
    "figure figure-7-saliency": (
        "Contour maps of four images, white to red, red in the middle of the image; each image is shown in the corner.",
        "Saliency maps of four test images; shared levels.",
    ),
    "figure one-class-maps": (
        "Ten contour maps, one for each network trained on a single class, each with the mean image of its class.",
        "Mean maps of networks that were trained on one class each, all explaining the same test images of all "
        "classes. Each map has its own scale. At the top left of each: the mean image of the class.",
    ),
    "figure one-class-table": (
        "Table of correlations between each network's map and each class's mean image; its diagonal is outlined.",
        "Correlation of each network's mean map with each class's mean image. A network is identified when the largest "
        "number of its row stands on the diagonal.",
    ),
    "figure translation-maps": (
        "Contour maps on the larger canvas: red in the middle for centred digits, red in the corner for digits there.",
        "Mean maps of networks trained on centred digits and on digits in a corner of the canvas; shared levels.",
    ),
    "figure corruption-examples": (
        "Rows of digits: clean, and with 10, 20 and 30 per cent of the most and of the least important pixels flipped.",
        "Test images with the most and the least important pixels flipped, by one randomly drawn local map.",
    ),
    "figure corruption-curves": (
        "Curves of accuracy against the percentage of flipped pixels, falling for the most important ones; controls "
        "beside the map.",
        "Accuracy of the classifier after flipping: the global map with its 95 % interval, single local maps (grey), "
        "controls that know no network, and the paper's two stated points.",
    ),
    "figure corruption-label-free-code": (
        "Curves of the code's shift against the percentage of removed pixels, for the map and the controls.",
        "Without a classifier: how far the code moves when pixels are replaced by their mean over the images.",
    ),
    "figure corruption-label-free-reconstruction": (
        "Curves of the reconstruction's shift against the percentage of removed pixels, for the map and the controls.",
        "The same for the reconstruction.",
    ),
    "figure randomisation-maps": (
        "Rows of contour maps of four images: by the trained network, then with layers redrawn.",
        "Maps by the trained network (first row), and with its layers redrawn from the code down; each has its own "
        "scale.",
    ),
    "figure locality-maps": (
        "The mean of all maps and nine maps of single images, much alike.",
        "The mean of all maps, and maps of single images; shared levels.",
    ),
    "figure comparison": (
        "A point with an interval for each method, one panel a check; controls as dashed lines.",
        "Scores of all methods by all checks, the best of the first panel at the top. Dashed: controls.",
    ),
}  # fmt: skip


def explain_check(result: CheckResult) -> tuple[str, ...]:
    """Say what was asked, how, and what came out."""
    return (_ASKED[result.check], f"Verdict: {result.verdict}.", *_FOUND.get(result.check, lambda result: ())(result))


_ASKED = {
    "one-class": (
        "A network that has seen one class alone should have a map that looks like that class. All networks explain "
        "the same images, of all classes, so that only the network can tell the map which class it is."
    ),
    "translation": (
        "When all digits stand in a corner of a larger canvas, the map should stand there too. Its shift is measured "
        "against a network that was trained alike on centred digits."
    ),
    "corruption": (
        "Pixels ranked most important are flipped (grey level above 100 to 0, others to 255) in all test images, and a "
        "classifier that was trained on clean images looks at them; then those ranked least important. The global map "
        "is the mean of local ones; the paper uses one randomly drawn local map, which is here as well."
    ),
    "randomisation": (
        "A map that does not change when the network forgets all that it has learnt does not explain the network. The "
        "layers are redrawn one after the other, from the code down to the pixels (Adebayo et al. 2018); and a network "
        "is trained on images whose pixels were all shuffled in one way."
    ),
    "locality": (
        "The paper takes any one map for all of them, as local maps do not differ notably. This check measures how far "
        "each differs from the mean of the others, and whether a map follows the strokes of its own image."
    ),
}


def _one_class_found(result: CheckResult) -> tuple[str, ...]:
    own, local = result.numbers["own_images"], result.numbers["one_local_map"]
    classes = len(result.numbers["classes"])
    readings = "; ".join(f"{name}, {count} identified" for name, count in result.numbers["other_readings"].items())
    return (
        f"When each network explains images of its own class, as the paper seems to do, {own['identified']} of "
        f"{classes} are identified by their mean map and {local['identified']} by one local map; correlation "
        f"{own['own_class']:.3f} with the own class, {own['other_classes']:.3f} with the others.",
        f"Other readings, which do not decide the verdict: {readings}. (What is special: the map less the mean of all "
        "maps, beside the picture of the class less that of all classes.)",
    )


def _corruption_found(result: CheckResult) -> tuple[str, ...]:
    scores = result.numbers["local_scores"]
    percentages = ", ".join(f"{percentage:g}" for percentage in result.numbers["percentages"])
    erased = {
        (name, side): ", ".join(f"{100 * share['value']:.1f}" for share in curves[side])
        for name, curves in result.numbers["erased"].items()
        for side in ("most", "least")
    }
    return (
        "Another reading of the corruption, which does not decide the verdict: pixels are erased (set to 0), and none "
        f"become white. Accuracy in per cent with {percentages} % erased: by the global map "
        f"{erased['global_map', 'most']} for the most important pixels and {erased['global_map', 'least']} for the "
        f"least; by the one local map {erased['local_map', 'most']} and {erased['local_map', 'least']}.",
        f"Single local maps: scores from {min(scores):.3f} to {max(scores):.3f}, mean {sum(scores) / len(scores):.3f} "
        f"({len(scores)} maps).",
    )


def _locality_found(result: CheckResult) -> tuple[str, ...]:
    numbers = result.numbers
    own, other = numbers["strokes"]["own_map"]["value"], numbers["strokes"]["map_of_another_image"]["value"]
    distance = numbers["relative_distance"]
    return (
        f"Relative distance of a map from the mean of the others: {distance['mean']:.3f} on average, 90 % of the "
        f"images between {distance['5%']:.3f} and {distance['95%']:.3f}.",
        f"A stroke pixel has a larger value than a background pixel with probability {own:.3f} in the image's own "
        f"map, and {other:.3f} in the map of another image. Only the difference is about this image; the rest is "
        "where strokes mostly are.",
    )


_FOUND: dict[str, Any] = {
    "one-class": _one_class_found,
    "corruption": _corruption_found,
    "locality": _locality_found,
}
