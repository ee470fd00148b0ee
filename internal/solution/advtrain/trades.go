package advtrain

import (
	"fmt"

	"assay/internal/train"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// TRADES trains on the loss of the examples as they are, and on how far an attacker can move the
// model's answer to them from there (Zhang et al. 2019, arXiv:1901.08573, equation 5):
//
//	CE(f(x), y) + Beta · max over x' of KL(softmax f(x) ‖ softmax f(x'))
//
// Beta is their 1/λ: more of it buys robustness with clean accuracy. As in the authors' program the
// attacker climbs the divergence, at the model as in use, and training lowers it by both answers. Departures
// are those of the package, and that the search starts anywhere in the attacker's reach; theirs starts
// 0.001 beside the example, as the divergence has no slope at the example itself.
type TRADES struct {
	Attacker
	Beta float64 // 6 in their tables 4 and 5; above 0
}

// Validate reports what cannot be.
func (t *TRADES) Validate() error {
	if !(t.Beta > 0 && t.Beta <= 1e6) {
		return fmt.Errorf("TRADES with the weight %g of the divergence: give beta above 0 and at most 1e6, such as 6", t.Beta)
	}
	return t.Attacker.Validate()
}

// Apply makes a training one by TRADES.
func (t *TRADES) Apply(o *train.Options) {
	o.Perturb, o.Recipe = t.Perturb, fmt.Sprintf("TRADES: beta %g, %s", t.Beta, t.recipe())
	o.Pair = &train.Pair{Loss: t.loss, Climb: divergence}
}

// loss is the whole of equation 5, for each example.
func (t *TRADES) loss(clean, perturbed autodiff.Scores) (string, error) {
	wrong, err := autodiff.CrossEntropy(clean)
	if err != nil {
		return "", err
	}
	far, err := divergence(clean, perturbed)
	if err != nil {
		return "", err
	}
	return clean.Op("Add", nil, wrong, clean.Op("Mul", nil, far, clean.Number(clean.Elem, t.Beta))), nil
}

// divergence is KL(softmax clean ‖ softmax perturbed) of each example, in nats.
func divergence(clean, perturbed autodiff.Scores) (string, error) {
	if clean.Classes < 2 {
		return "", fmt.Errorf("the divergence of two answers needs scores of at least two classes, and %q has %d", clean.Logits, clean.Classes)
	}
	over := onnx.Attrs{"axis": int64(1)}
	p, q := clean.Op("LogSoftmax", over, clean.Logits), clean.Op("LogSoftmax", over, perturbed.Logits)
	each := clean.Op("Mul", nil, clean.Op("Exp", nil, p), clean.Op("Sub", nil, p, q))
	return clean.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, each, clean.Ints(1)), nil
}
