package ort_test

import (
	"context"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// BenchmarkOverhead is the time of a run of next to nothing: what a step costs
// beside its computation.
func BenchmarkOverhead(b *testing.B) {
	s := session(b, double(onnx.Float32))
	bound, err := s.Bind([]*ort.Tensor{ort.NewTensor(make([]float32, 2), 1, 2)}, []*ort.Tensor{ort.NewTensor(make([]float32, 2), 1, 2)})
	if err != nil {
		b.Fatal(err)
	}
	defer bound.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		if err := bound.Run(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
