package inversion_test

import (
	"context"
	"testing"

	"assay/internal/method/inversion"
	"assay/internal/model/gradient"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// classAudit inverts the digits' classes out of a model.
func classAudit(t *testing.T, m *onnx.Model, by inversion.Inverter) *inversion.ClassAudit {
	t.Helper()
	ctx := context.Background()
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g, err := gradient.New(ctx, m, gradient.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	records, prior := someOf(digits(t), 900)
	o := limits()
	o.Variation = 0.1
	a, err := inversion.Subject{Model: c, Slopes: g}.Classes(ctx, by, records, prior, o, 0.95, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range a.Attempts {
		t.Logf("%s, %d: error %.3f; mean of others %.3f, nearest of others %.3f; SSIM %.2f; %v", by, x.Label, x.Error, x.OfMean, x.OfNearest, x.SSIM, x.Leaked)
	}
	return a
}

// trained is a network that tells the digits apart.
func trained(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	data := train.FromDataset(digits(t))
	data.Shape = []int{64}
	m, err := train.Standardize(m, data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := train.Run(context.Background(), m, data, train.Options{Epochs: 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

// What a class looks like is made of a model that tells it from others, by its gradients as by its labels, and not of one that
// never saw any.
func TestClassesAreMadeVisible(t *testing.T) {
	knows := trained(t, network.MLP(64, []int{64}, 10, 1))
	for _, by := range inversion.Inverters() {
		if a := classAudit(t, knows, by); a.Leaked.Part < 0.9 {
			t.Errorf("%s: %+v", by, a.Leaked)
		}
		blind := network.MLP(64, []int{64}, 10, 2)
		if a := classAudit(t, blind, by); a.Leaked.Part > 0.2 {
			t.Errorf("%s of a model that learnt nothing: %+v", by, a.Leaked)
		}
	}
}

func TestClassRefusals(t *testing.T) {
	ctx := context.Background()
	records, prior := someOf(digits(t), 20)
	s := inversion.Subject{Model: memory{}}
	if _, err := s.Classes(ctx, inversion.ByGradient, records, prior, limits(), 0.95, nil); err == nil {
		t.Error("gradients were followed that there are not")
	}
	if _, err := s.Classes(ctx, inversion.ByLabels, inversion.Records{}, prior, limits(), 0.95, nil); err == nil {
		t.Error("no classes were inverted")
	}
}
