package infer_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"assay/internal/realdata"
	"assay/onnx"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

// TestConformance infers the types of ONNX's own backend cases, and holds them against
// the outputs that the cases state and the data they give. What the model states of
// its outputs is withheld from the inference.
func TestConformance(t *testing.T) {
	checked, fixed := 0, 0
	for _, c := range cases(t) {
		if _, err := infer.Shapes(c.model); err != nil {
			t.Errorf("%s: with what it states: %v", c.name, err)
		}
		n, known := c.check(t, blind(c.model))
		checked, fixed = checked+n, fixed+known
	}
	t.Logf("%d of %d outputs have a fixed shape", fixed, checked)
	if checked < 1500 || fixed*100 < checked*80 {
		t.Errorf("only %d of %d outputs have a fixed shape", fixed, checked)
	}
}

// TestConformanceOfConstants does so with the inputs made constants: then all shapes
// are known but those that depend on computed numbers, and contents that are known
// must be those of the data.
func TestConformanceOfConstants(t *testing.T) {
	checked, fixed, contents := 0, 0, 0
	for _, c := range cases(t) {
		m := blind(c.model)
		for i, v := range m.Graph.FreeInputs() {
			if v.Type.Kind == onnx.KindTensor && len(c.sets) > 0 {
				m.Graph.Initializers = append(m.Graph.Initializers, decode(t, c.sets[0].Inputs[i]).Renamed(v.Name))
			}
		}
		if len(c.sets) > 0 {
			c.sets = c.sets[:1]
		}
		n, known := c.check(t, m)
		checked, fixed = checked+n, fixed+known
		contents += c.contents(t, m)
	}
	t.Logf("%d of %d outputs have a fixed shape, %d a known content", fixed, checked, contents)
	if fixed*100 < checked*95 || contents < 100 {
		t.Errorf("only %d of %d outputs have a fixed shape, %d a known content", fixed, checked, contents)
	}
}

type testCase struct {
	name  string
	model *onnx.Model // upgraded
	sets  []realdata.Set
}

func cases(t *testing.T) []testCase {
	t.Helper()
	var out []testCase
	for _, c := range realdata.Conformance(t) {
		m, err := onnx.Decode(c.Model)
		if err != nil {
			t.Fatal(err)
		}
		if m.Opset() != 0 && m.Opset() < onnx.MinOpset {
			continue
		}
		if m, err = upgrade.To(m, upgrade.Form); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		out = append(out, testCase{c.Name, m, c.Sets})
	}
	if len(out) < 1500 {
		t.Fatalf("%d cases, expected more than 1500", len(out))
	}
	return out
}

// blind is the model without what it states of its values.
func blind(m *onnx.Model) *onnx.Model {
	m = m.Clone()
	for i := range m.Graph.Outputs {
		m.Graph.Outputs[i].Type = onnx.Type{}
	}
	m.Graph.Values = nil
	return m
}

// check counts the tensors among the case's outputs, and those of a fixed shape.
func (c testCase) check(t *testing.T, m *onnx.Model) (outputs, fixed int) {
	types, err := infer.Shapes(m)
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return 0, 0
	}
	for i, out := range c.model.Graph.Outputs {
		got := types.Of(out.Name)
		if err := agrees(got, out.Type); err != nil {
			t.Errorf("%s: output %q: %v", c.name, out.Name, err)
		}
		if out.Type.Kind != onnx.KindTensor {
			continue
		}
		for _, set := range c.sets {
			x := decode(t, set.Outputs[i])
			if err := agrees(got, onnx.TensorOf(x.Type, onnx.Fixed(x.Shape...))); err != nil {
				t.Errorf("%s: output %q in the data: %v", c.name, out.Name, err)
			}
		}
		outputs++
		if _, known := got.Shape.Sizes(); known {
			fixed++
		} else if testing.Verbose() {
			t.Logf("%s: %s", c.name, got)
		}
	}
	return outputs, fixed
}

// contents counts the outputs whose content is known, and compares them with the data.
func (c testCase) contents(t *testing.T, m *onnx.Model) int {
	types, err := infer.Shapes(m)
	if err != nil || len(c.sets) == 0 {
		return 0
	}
	known := 0
	for i, out := range c.model.Graph.Outputs {
		got := types.Constant(out.Name)
		if got == nil || got.Type == onnx.String {
			continue
		}
		known++
		x, err := got.Float64s()
		want, err2 := decode(t, c.sets[0].Outputs[i]).Float64s()
		if err != nil || err2 != nil || !slices.EqualFunc(x, want, near) {
			t.Errorf("%s: output %q is inferred to be %v, but is %v", c.name, out.Name, x, want)
		}
	}
	return known
}

func near(x, y float64) bool {
	return x == y || math.IsNaN(x) && math.IsNaN(y) || math.Abs(x-y) <= 1e-6*math.Abs(y)
}

func decode(t *testing.T, data []byte) *onnx.Tensor {
	t.Helper()
	x, err := onnx.DecodeTensor(data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// agrees tells where an inferred type contradicts a true one.
func agrees(got, want onnx.Type) error {
	wrong := fmt.Errorf("inferred %s, but it is %s", got, want)
	if got.Kind == onnx.KindUnknown || want.Kind == onnx.KindUnknown {
		return nil
	}
	if got.Kind != want.Kind || got.Elem != want.Elem && got.Elem != onnx.Undefined {
		return wrong
	}
	if got.Shape != nil && want.Shape != nil {
		if len(got.Shape) != len(want.Shape) {
			return wrong
		}
		for i, d := range got.Shape {
			if d.Known() && want.Shape[i].Known() && d.Size != want.Shape[i].Size {
				return wrong
			}
		}
	}
	if got.Of != nil && want.Of != nil {
		return agrees(*got.Of, *want.Of)
	}
	return nil
}
