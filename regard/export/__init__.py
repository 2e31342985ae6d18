"""Trained models for other programs: ONNX, CTranslate2. What was written is compared with the model before it counts."""
