package autodiff

import (
	"math"
	"slices"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/realdata"
	"assay/onnx"
)

// TestExpansions runs each of ONNX's backend cases that has a node to write out, as it
// is and written out, and compares.
func TestExpansions(t *testing.T) {
	compared, without := 0, map[string]bool{}
	for name := range expansions {
		without[name] = true
	}
	for _, c := range realdata.Conformance(t) {
		m, err := onnx.Decode(c.Model)
		if err != nil || m.Opset() < onnx.MinOpset || !expandable(m.Graph) {
			continue
		}
		ops := map[string]bool{}
		for _, n := range m.Graph.Nodes {
			ops[n.OpType()] = true
		}
		t.Run(c.Name, func(t *testing.T) {
			plain, err := ort.New(m, ort.Options{Threads: 1, Optimization: ort.OptimizeOff})
			if err != nil {
				t.Skipf("the runtime does not run the case itself: %v", err)
			}
			defer plain.Close()
			g, err := New(m)
			if err != nil {
				t.Fatal(err)
			}
			written, err := ort.New(g.Model(), ort.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer written.Close()
			inputs := make([]any, len(m.Graph.FreeInputs()))
			for i, v := range m.Graph.FreeInputs() {
				if inputs[i], err = decodeValue(c.Sets[0].Inputs[i], v.Type); err != nil {
					t.Fatal(err)
				}
			}
			want, err := runAll(plain, inputs)
			if err != nil {
				t.Skipf("the runtime does not run the case itself: %v", err)
			}
			got, err := runAll(written, inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				agree(t, written.Outputs()[i].Name, got[i], want[i])
			}
			compared++
			for op := range ops {
				delete(without, op)
			}
		})
	}
	t.Logf("%d cases compared, without one for %v", compared, without)
	if compared < 50 {
		t.Errorf("only %d cases were compared", compared)
	}
}

func agree(t *testing.T, name string, got, want *ort.Tensor) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) || got.Type != want.Type {
		t.Errorf("%s is %v, not %v", name, got, want)
		return
	}
	allowed := 1e-5
	if want.Type == onnx.Float16 {
		allowed = 1e-2
	}
	g, w := numbers(got), numbers(want)
	for i := range w {
		if g[i] != w[i] && !(math.Abs(g[i]-w[i]) <= allowed*max(1, math.Abs(w[i]))) && !(math.IsNaN(g[i]) && math.IsNaN(w[i])) {
			t.Errorf("element %d of %s is %g, not %g", i, name, g[i], w[i])
			return
		}
	}
}
