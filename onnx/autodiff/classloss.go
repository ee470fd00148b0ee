package autodiff

import "assay/onnx"

// expandCrossEntropyLoss: the loss is the negative likelihood under a softmax over
// the classes, whose logarithm is the node's second output.
func expandCrossEntropyLoss(e *expander, n *onnx.Node) []string {
	if e.shape(n.Inputs[1]) == nil {
		return nil
	}
	logs := e.Op("LogSoftmax", onnx.Attrs{"axis": int64(1)}, n.Inputs[0])
	return outputs(n, e.likelihoodLoss(n, logs), logs)
}

func expandLikelihoodLoss(e *expander, n *onnx.Node) []string {
	if e.shape(n.Inputs[1]) == nil {
		return nil
	}
	return outputs(n, e.likelihoodLoss(n, n.Inputs[0]))
}

// likelihoodLoss is -w·log p of each label's class, with p in dimension 1. Labels
// equal to ignore_index weigh nothing; the mean is taken over the weights.
func (e *expander) likelihoodLoss(n *onnx.Node, logs string) string {
	labels, elem := n.Inputs[1], e.elem(n.Inputs[0])
	var weight string
	if n.Has("ignore_index") {
		ignored := e.Op("Equal", nil, labels, e.Number(e.elem(labels), float64(n.Int("ignore_index", 0))))
		labels = e.Op("Where", nil, ignored, e.Number(e.elem(labels), 0), labels)
		weight = e.Op("Cast", onnx.Attrs{"to": int64(elem)}, e.Op("Not", nil, ignored))
	}
	if w := n.Input(2); w != "" {
		each := e.Op("Gather", nil, w, labels)
		if weight != "" {
			each = e.Op("Mul", nil, each, weight)
		}
		weight = each
	}
	index := e.Op("Unsqueeze", nil, labels, e.Ints(1))
	picked := e.Op("GatherElements", onnx.Attrs{"axis": int64(1)}, logs, index)
	loss := e.Op("Neg", nil, e.Op("Squeeze", nil, picked, e.Ints(1)))
	if weight != "" {
		loss = e.Op("Mul", nil, loss, weight)
	}
	scalar := onnx.Attrs{"keepdims": int64(0)}
	switch n.Text("reduction", "mean") {
	case "none":
		return loss
	case "sum":
		return e.Op("ReduceSum", scalar, loss)
	}
	if weight == "" {
		return e.Op("ReduceMean", scalar, loss)
	}
	return e.Op("Div", nil, e.Op("ReduceSum", scalar, loss), e.Op("ReduceSum", scalar, weight))
}
