"""The methods that Captum computes, behind one adapter; Captum itself is imported when one of them is run."""
