package train

import (
	"errors"
	"fmt"

	"assay/onnx"
	"assay/onnx/autodiff"
)

// Pair is a loss of two answers of the model: to each example as it is, and as
// [Options].Perturb left it. One run of the graph gives both, of a batch of twice the length; so
// batch normalisation takes the statistics of both halves together.
type Pair struct {
	Loss  PairLoss // that is trained on, in place of Options.Loss
	Climb PairLoss // whose gradient with respect to the perturbed examples InputGradient gives
}

// PairLoss appends the computation of a loss from the scores of the examples as they are and
// as they were perturbed, which have the same labels, as [autodiff.Loss] does from one.
type PairLoss func(clean, perturbed autodiff.Scores) (string, error)

// joint is the loss made from the scores of both halves, one below the other.
func (l PairLoss) joint() autodiff.Loss {
	return func(s autodiff.Scores) (string, error) {
		halves := s.Ops("Split", onnx.Attrs{"axis": int64(0), "num_outputs": int64(2)}, 2, s.Logits)
		clean, perturbed := s, s
		clean.Logits, perturbed.Logits = halves[0], halves[1]
		return l(clean, perturbed)
	}
}

// trained is the loss of a step, and climbed that whose gradient examples are perturbed along.
func (o *Options) trained() autodiff.Loss {
	if o.Pair != nil {
		return o.Pair.Loss.joint()
	}
	return o.Loss
}

func (o *Options) climbed() autodiff.Loss {
	if o.Pair != nil {
		return o.Pair.Climb.joint()
	}
	return o.Loss
}

// check reports what keeps a pair from being trained on.
func (p *Pair) check(d *Data, o *Options) error {
	switch {
	case p == nil:
		return nil
	case p.Loss == nil || p.Climb == nil:
		return errors.New("a loss of pairs needs both: what is trained on, and what is climbed")
	case o.Perturb == nil:
		return errors.New("a loss of pairs compares examples with perturbed ones, and nothing perturbs them")
	case d.Classes == nil:
		return errors.New("a loss of pairs is for classification, and the examples have no classes")
	}
	return nil
}

// pairs makes the batch's input from two: the first half of the model's batch is the examples as
// they are, the second as they were perturbed. It gives the names of both inputs.
func (p *plan) pairs(b *onnx.Builder) (clean, perturbed string) {
	perturbed, clean = b.Name(examplesName), b.Name(cleanName)
	joint := p.input.Name
	if p.input.Type.Elem != onnx.Float32 {
		joint = b.Name(joint + "_float32")
	}
	b.Add("Concat", onnx.Attrs{"axis": int64(0)}, []string{clean, perturbed}, []string{joint})
	if joint != p.input.Name {
		b.Add("Cast", onnx.Attrs{"to": int64(p.input.Type.Elem)}, []string{joint}, []string{p.input.Name})
	}
	return clean, perturbed
}

// checkPairs refuses models that cannot take a batch of twice the length.
func (p *plan) checkPairs(o *Options) error {
	if o.Pair != nil && p.batch > 0 {
		return fmt.Errorf("the model takes batches of %d examples only, and to compare examples with perturbed ones it must take any number: export it with a batch of any size", p.batch)
	}
	return nil
}
