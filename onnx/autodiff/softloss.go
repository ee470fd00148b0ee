package autodiff

import "assay/onnx"

// SoftCrossEntropy is -Σ_k t_k·log softmax(z)_k, the cross-entropy against a distribution t over the classes,
// such as the probabilities of a model that another is to imitate (Hinton et al. 2015, arXiv:1503.02531, section 2, at
// temperature 1). Its labels are [N, K], as of SquaredError.
func SoftCrossEntropy(s Scores) (string, error) {
	if err := s.need(1); err != nil {
		return "", err
	}
	logs := s.Op("LogSoftmax", onnx.Attrs{"axis": int64(1)}, s.Logits)
	sum := s.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, s.Op("Mul", nil, s.Labels, logs), s.Ints(1))
	return s.Op("Neg", nil, sum), nil
}
