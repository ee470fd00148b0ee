package ort_test

import (
	"context"
	"slices"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

func double() *onnx.Model {
	b := onnx.NewBuilder("double")
	x := b.Input("x", onnx.Float32, "n", 2)
	b.Output(b.Op("Mul", nil, x, b.Number(onnx.Float32, 2)), onnx.Float32, onnx.Dims("n", 2))
	return b.Model()
}

func TestRun(t *testing.T) {
	s, err := ort.New(double(), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := ort.NewTensor([]float32{1, 2, 3, 4}, 2, 2)
	outputs := []*ort.Tensor{nil}
	if err := s.Run(context.Background(), []*ort.Tensor{x}, outputs); err != nil {
		t.Fatal(err)
	}
	if got := ort.Data[float32](outputs[0]); !slices.Equal(got, []float32{2, 4, 6, 8}) {
		t.Error(got)
	}
}
