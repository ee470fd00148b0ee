package randomisation_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/randomisation"
	"assay/internal/solution/solutiontest"
	"assay/onnx"
)

// pixels gives the scores of a model that are the places of an image of 4 by 4, as the transformation leaves them.
func pixels(t *testing.T, m *onnx.Model, image, place []float32) []float32 {
	t.Helper()
	s, err := ort.New(m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := make([]*ort.Tensor, 1)
	if err := s.Run(context.Background(), []*ort.Tensor{ort.NewTensor(image, 1, 1, 4, 4), ort.NewTensor(place, 1, 3)}, out); err != nil {
		t.Fatal(err)
	}
	return ort.Data[float32](out[0])
}

// TestResizeByHand: at scale 1 nothing changes; at 1/2 the image becomes means of blocks of 2 by 2 amid zeros.
func TestResizeByHand(t *testing.T) {
	b := onnx.NewBuilder("pixels")
	b.OutputAs("logits", b.Op("Flatten", nil, b.Input("input", onnx.Float32, "batch", 1, 4, 4)), onnx.Float32, onnx.Dims("batch", 16))
	m, err := randomisation.Transformation{Shrink: 0.5}.Before(solutiontest.Classifier(t, b.Model()))
	if err != nil {
		t.Fatal(err)
	}
	image := []float32{1, 3, 10, 20, 5, 7, 30, 40, 2, 2, 8, 8, 2, 2, 8, 8}
	near := func(what string, got, want []float32) {
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-4 {
				t.Errorf("%s: %v, want %v", what, got, want)
				return
			}
		}
	}
	near("whole", pixels(t, m, image, []float32{1, 0.3, 0.6}), image)
	near("upper left", pixels(t, m, image, []float32{0, 0, 0}), []float32{4, 25, 0, 0, 2, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	near("lower middle", pixels(t, m, image, []float32{0, 1, 0.5}), []float32{0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 25, 0, 0, 2, 8, 0})
}

func TestDigits(t *testing.T) {
	d := solutiontest.Open(t)
	build := func() *onnx.Model {
		m, err := randomisation.Transformation{Shrink: 0.9, Noise: 0.5}.Before(d.Classifier)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := build()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	says, err := model.ReadDefence(m)
	if err != nil || len(says.Random) != 2 || says.Reject {
		t.Errorf("the metadata say %+v, %v", says, err)
	}
	with, without := solutiontest.Accuracy(t, m, d.Test), solutiontest.Accuracy(t, d.Model, d.Test)
	t.Logf("accuracy %.3f with, %.3f without", with, without)
	if with < 0.7 {
		t.Errorf("accuracy %g with, and %g without", with, without)
	}
	a, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := build().Encode()
	if err != nil || string(a) != string(b) {
		t.Errorf("the same build gives other bytes (%v)", err)
	}
}

func TestRefuses(t *testing.T) {
	d := solutiontest.Open(t)
	for _, c := range []struct {
		t    randomisation.Transformation
		want string
	}{
		{randomisation.Transformation{}, "shrunk to 0"},
		{randomisation.Transformation{Shrink: 1}, "nothing random"},
		{randomisation.Transformation{Shrink: 1, Noise: math.NaN()}, "give 0 or more"},
	} {
		if _, err := c.t.Before(d.Classifier); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
