package verify

import (
	"context"
	"fmt"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/internal/vnnlib"
	"assay/onnx"
)

// judge says whether an input is a counterexample, by two runs of the model as it is given:
// in float64, and by ONNX Runtime.
type judge struct {
	p       *vnnlib.Property
	shape   []int64
	input   string
	output  string
	exact   *float64eval.Evaluator
	runtime *ort.Session
}

func newJudge(m *onnx.Model, p *vnnlib.Property, shape []int64, library string) (*judge, error) {
	j := &judge{p: p, shape: append([]int64{1}, shape...), input: m.Graph.FreeInputs()[0].Name, output: m.Graph.Outputs[0].Name}
	wide, err := float64eval.Convert(m)
	if err != nil {
		return nil, fmt.Errorf("the model in float64: %w", err)
	}
	if j.runtime, err = ort.New(m, ort.Options{Threads: 1, Library: library}); err != nil {
		return nil, err
	}
	if j.exact, err = float64eval.New(wide); err != nil {
		j.Close()
		return nil, fmt.Errorf("the model in float64: %w", err)
	}
	return j, nil
}

// Close frees the runtime's sessions.
func (j *judge) Close() {
	if j.runtime != nil {
		j.runtime.Close()
	}
	if j.exact != nil {
		_ = j.exact.Close() // there is nothing to be done about it
	}
}

// confirm moves an input into the box of a case, if it is outside by rounding, and gives
// it if its outputs are unsafe both in float64 and by the runtime.
func (j *judge) confirm(ctx context.Context, of int, near []float32) (*Counterexample, error) {
	c := j.p.Cases[of]
	found := &Counterexample{X: make([]float64, len(near))}
	rounded := make([]float32, len(near))
	for i, v := range near {
		found.X[i] = min(max(float64(v), c.Lower[i]), c.Upper[i])
		rounded[i] = float32(found.X[i])
	}
	out := make([]*ort.Tensor, 1)
	if err := j.runtime.Run(ctx, []*ort.Tensor{ort.NewTensor(rounded, j.shape...)}, out); err != nil {
		return nil, err
	}
	found.Y = widened(ort.Data[float32](out[0]))
	if !unsafe(c, found.Y) {
		return nil, nil
	}
	values, err := j.exact.Run(map[string]float64eval.Value{j.input: ort.NewTensor(found.X, j.shape...)})
	if err != nil {
		return nil, fmt.Errorf("the model in float64: %w", err)
	}
	y, ok := values[j.output].(*ort.Tensor)
	if !ok || y.Type != onnx.Float64 {
		return nil, fmt.Errorf("the model in float64 gives %T for its output", values[j.output])
	}
	if !unsafe(c, ort.Data[float64](y)) {
		return nil, nil
	}
	return found, nil
}
