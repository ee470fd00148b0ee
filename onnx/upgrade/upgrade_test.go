package upgrade_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/realdata"
	"assay/onnx"
	"assay/onnx/upgrade"
)

// TestConformance upgrades ONNX's own backend cases of older operator sets: their
// outputs stay what the cases state, wherever the runtime gives these for the old form.
func TestConformance(t *testing.T) {
	same, neither := 0, 0
	for _, c := range realdata.Conformance(t) {
		old, err := onnx.Decode(c.Model)
		if err != nil {
			t.Fatal(err)
		}
		if old.Opset() < onnx.MinOpset || old.Opset() >= upgrade.Form || !tensorsOnly(old.Graph) {
			continue
		}
		before, err := old.Encode()
		if err != nil {
			t.Fatal(err)
		}
		upgraded, err := upgrade.To(old, upgrade.Form)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if after, _ := old.Encode(); !slices.Equal(before, after) {
			t.Errorf("%s: the old model was changed", c.Name)
		}
		for _, set := range c.Sets {
			inputs, outputs := read(t, set.Inputs), read(t, set.Outputs)
			was := differ(old, inputs, outputs)
			switch is := differ(upgraded, inputs, outputs); {
			case is == nil:
				same++
			case was == nil:
				t.Errorf("%s: %v", c.Name, is)
			default:
				neither++
			}
		}
	}
	t.Logf("%d sets are the same, %d the runtime gives in neither form", same, neither)
	if same < 500 || neither > 60 {
		t.Errorf("%d sets are the same and %d are given in neither form", same, neither)
	}
}

func tensorsOnly(g *onnx.Graph) bool {
	for _, v := range slices.Concat(g.Inputs, g.Outputs) {
		if v.Type.Kind != onnx.KindTensor || v.Type.Elem == onnx.String {
			return false
		}
	}
	return true
}

func read(t *testing.T, files [][]byte) []*onnx.Tensor {
	t.Helper()
	var out []*onnx.Tensor
	for _, data := range files {
		x, err := onnx.DecodeTensor(data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// differ runs a model and tells where its outputs are not the wanted ones.
func differ(m *onnx.Model, inputs, want []*onnx.Tensor) error {
	got, err := run(m, inputs)
	if err != nil {
		return err
	}
	for i := range want {
		if err := near(got[i], want[i], 1e-3, 1e-7); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

func run(m *onnx.Model, inputs []*onnx.Tensor) ([]*onnx.Tensor, error) {
	s, err := ort.New(m, ort.Options{Threads: 1, Optimization: ort.OptimizeOff})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ins := make([]*ort.Tensor, len(inputs))
	for i, x := range inputs {
		if ins[i], err = ort.FromONNX(x); err != nil {
			return nil, err
		}
	}
	outs := make([]*ort.Tensor, len(m.Graph.Outputs))
	if err := s.Run(context.Background(), ins, outs); err != nil {
		return nil, err
	}
	result := make([]*onnx.Tensor, len(outs))
	for i, x := range outs {
		if result[i], err = x.ONNX(""); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func near(got, want *onnx.Tensor, relative, absolute float64) error {
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("%s%v, not %s%v", got.Type, got.Shape, want.Type, want.Shape)
	}
	g, err := got.Float64s()
	if err != nil {
		return err
	}
	w, err := want.Float64s()
	if err != nil {
		return err
	}
	for i := range w {
		if g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]) {
			continue
		}
		if !(math.Abs(g[i]-w[i]) <= absolute+relative*math.Abs(w[i])) {
			return fmt.Errorf("element %d is %g, not %g", i, g[i], w[i])
		}
	}
	return nil
}

// FuzzTo upgrades models of any form: no panic, and a model of the new set.
func FuzzTo(f *testing.F) {
	for i, form := range forms {
		data, err := form.model(rand.New(rand.NewPCG(1, uint64(i))), onnx.Fixed(form.shape...)).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		if up, err := upgrade.To(m, upgrade.Form); err == nil && m.Opset() > 0 && up.Opset() < upgrade.Form {
			t.Errorf("left at %d", up.Opset())
		}
	})
}
