"""Images and what is done to them before a network sees them: data sets, fitting, corruptions."""
