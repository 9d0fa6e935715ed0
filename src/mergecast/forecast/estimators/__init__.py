"""scikit-learn estimators of member rows, and their registry."""
