"""What a code depends on: from an encoder and images to Jacobians and saliency maps."""
