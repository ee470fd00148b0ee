package rewrite

import (
	"context"
	"fmt"

	"assay/internal/model/ort"
	"assay/onnx"
)

// runBatch is how many rows are run at once.
const runBatch = 128

// Run gives a model's one output for rows, in a row: as many numbers for each as there are. The model is
// one that Measure gave; x are its rows, one after the other.
func Run(ctx context.Context, m *onnx.Model, x []float32, o ort.Options) ([]float32, error) {
	s, err := ort.New(m, o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	dims := m.Graph.Inputs[0].Type.Shape
	shape, size := []int64{0}, 1
	for _, d := range dims[1:] {
		shape, size = append(shape, d.Size), size*int(d.Size)
	}
	if len(x)%size != 0 {
		return nil, fmt.Errorf("%d numbers are not rows of %d", len(x), size)
	}
	n, batch := len(x)/size, runBatch
	if dims[0].Known() {
		batch = int(dims[0].Size)
	}
	var out []float32
	for at := 0; at < n; at += batch {
		rows := x[at*size : min(at+batch, n)*size]
		own := len(rows) / size
		if dims[0].Known() && own < batch {
			rows = append(append(make([]float32, 0, batch*size), rows...), make([]float32, (batch-own)*size)...)
		}
		shape[0] = int64(len(rows) / size)
		result := make([]*ort.Tensor, 1)
		if err := s.Run(ctx, []*ort.Tensor{ort.NewTensor(rows, append([]int64{}, shape...)...)}, result); err != nil {
			return nil, err
		}
		values := ort.Data[float32](result[0])
		out = append(out, values[:len(values)/int(shape[0])*own]...)
	}
	return out, nil
}
