"""The paper's analysis: what explains outcomes, which metrics carry a fit, what tables hide."""
