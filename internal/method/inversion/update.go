// Package inversion makes records, or what is not known of them, out of what a model or its training gives away: of a gradient
// that is sent to those who train together, the record that it was computed on; of a model, what a class looks like,
// and of its answers, an attribute of a record or what share of its training data had a property.
//
// What is made counts only where it is nearer to the truth than all that could have been known without the gradient or the model.
package inversion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/method/poisoning/plant/craft"
	"assay/onnx"
)

// Update is what one who trains with others sends them of one record: the gradient of its loss by each of the weights.
type Update [][]float32

// Noise is what protects an update: it is clipped to a length and noise is added (Abadi et al. 2016, arXiv:1607.00133,
// Algorithm 1, for a batch of one).
type Noise struct {
	Clip       float64 `json:"clip"`       // the greatest L2 norm; above 0
	Multiplier float64 `json:"multiplier"` // the noise's standard deviation, in units of Clip; 0 for none
}

// Leak is a model whose updates are looked at.
type Leak struct {
	weights *craft.Weights
	classes int
	bias    int // the place of the last layer's bias among the weights
}

// NewLeak opens a model as it is sent to those who train. It must give logits, have a bias in its last layer and be
// differentiable twice.
func NewLeak(m *onnx.Model, classes int) (*Leak, error) {
	w, err := craft.NewWeights(m)
	if err != nil {
		return nil, err
	}
	l := &Leak{weights: w, classes: classes, bias: len(w.Names) - 1}
	if s := w.Shapes[l.bias]; len(s) != 1 || s[0] != int64(classes) {
		l.Close()
		return nil, fmt.Errorf("the last weights of the model, %q, are no bias of %d classes, which the label is read from", w.Names[l.bias], classes)
	}
	if err := w.Twice(m); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Update gives the update of a row in the model's layout, protected where there is noise.
func (l *Leak) Update(ctx context.Context, row []float32, label int, n *Noise, r *rand.Rand) (Update, error) {
	_, u, err := l.weights.Slopes(ctx, row, []int64{int64(label)})
	if err != nil || n == nil {
		return u, err
	}
	if !(n.Clip > 0) || !(n.Multiplier >= 0) {
		return nil, errors.New("noise needs a clip above 0 and a multiplier of 0 or more")
	}
	scale := min(1, n.Clip/Update(u).norm())
	for _, part := range u {
		for i := range part {
			part[i] = float32(scale*float64(part[i]) + n.Clip*n.Multiplier*r.NormFloat64())
		}
	}
	return u, nil
}

func (u Update) norm() float64 { return math.Sqrt(u.dot(u)) }

func (u Update) dot(o Update) (sum float64) {
	for i, part := range u {
		for j, v := range part {
			sum += float64(v) * float64(o[i][j])
		}
	}
	return sum
}

// Label reads the class of an update's record off the last layer: the derivative by its bias is the probabilities less 1 at
// the class, so that there alone it is below zero (Zhao et al. 2020, arXiv:2001.02610, equation 3).
func (l *Leak) Label(u Update) int {
	best := 0
	for k, v := range u[l.bias] {
		if v < u[l.bias][best] {
			best = k
		}
	}
	return best
}

// Dense gives what a dense layer with a bias took, from its gradients on one record: y = Wx + b has ∂L/∂W = ∂L/∂b·xᵀ, so
// that every output of which the loss depends gives x by a division (Phong et al. 2017, section 3). The output with the
// largest derivative is used. Weights are [inputs, outputs].
func Dense(weights, bias []float32) ([]float32, error) {
	best := 0
	for k, v := range bias {
		if math.Abs(float64(v)) > math.Abs(float64(bias[best])) {
			best = k
		}
	}
	if len(bias) == 0 || len(weights)%len(bias) != 0 || bias[best] == 0 {
		return nil, errors.New("the loss does not depend on any of the layer's outputs, so that its gradients say nothing")
	}
	x := make([]float32, len(weights)/len(bias))
	for i := range x {
		x[i] = weights[i*len(bias)+best] / bias[best]
	}
	return x, nil
}

// Close frees what the model holds.
func (l *Leak) Close() { l.weights.Close() }
