"""The method: glimpse token, Visual Importance Predictor, selection, evidence boxes, and the loaded model."""
