package onnx

import (
	"bytes"
	"strings"
	"testing"

	"assay/internal/realdata"
)

// Every one of ONNX's own models decodes and re-encodes, and Check finds nothing wrong
// with those of the supported operator sets. None has functions, so inlining leaves them.
func TestConformanceModels(t *testing.T) {
	checked := 0
	unsupported := map[int64]int{}
	for _, c := range realdata.Conformance(t) {
		m, err := Decode(c.Model)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		first := encode(t, m)
		again, err := Decode(first)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if !bytes.Equal(first, encode(t, again)) {
			t.Errorf("%s: does not re-encode to the same bytes", c.Name)
		}
		err = m.Check()
		if v, ok := m.Opsets[""]; ok && (v < MinOpset || v > MaxOpset) {
			unsupported[v]++
			if err == nil || !strings.Contains(err.Error(), "versions 7 to 24 are supported") {
				t.Errorf("%s: operator set %d gave %v", c.Name, v, err)
			}
			continue
		}
		checked++
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if err := m.Inline(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if !bytes.Equal(first, encode(t, m)) {
			t.Errorf("%s: checking or inlining changed it", c.Name)
		}
	}
	t.Logf("%d models checked; not supported, by operator set: %v", checked, unsupported)
	if checked < 1000 {
		t.Errorf("checked %d models", checked)
	}
}

func encode(t testing.TB, m *Model) []byte {
	t.Helper()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decodeModel(t testing.TB, data []byte) *Model {
	t.Helper()
	m, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantError fails the test where err does not contain every one of the texts.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error does not say %q: %v", text, err)
		}
	}
}

// smallModel has an example of most that a model can hold.
func smallModel() *Model {
	b := NewBuilder("small")
	x := b.Input("x", Float32, "batch", 3)
	w := b.Weight(NewTensor("w", []float32{1, 2, 3, 4, 5, 6}, 3, 2))
	y := b.Op("MatMul", nil, x, w)
	condition := b.Op("Less", nil, b.Op("ReduceSum", Attrs{"keepdims": int64(0)}, y), b.Number(Float32, 0))
	positive, negative := b.Body("positive"), b.Body("negative")
	positive.OutputAs("same", y, Float32, nil)
	negative.Output(negative.Op("Neg", nil, y), Float32, nil)
	z := b.Op("If", Attrs{"then_branch": negative.Graph, "else_branch": positive.Graph}, condition)
	b.Add("Scaled", Attrs{"factor": float32(2)}, []string{z}, []string{b.Name("scaled")}).Domain = "local"
	b.Output("scaled", Float32, Dims("batch", 2))
	b.Output(b.Weight(NewStringTensor("labels", []string{"no", "yes"})), String, Fixed(2))
	m := b.Model()
	m.Opsets["local"] = 1
	m.Functions = []*Function{{
		Name: "Scaled", Domain: "local", Inputs: []string{"v"}, Outputs: []string{"r"}, Params: []string{"factor"},
		Opsets: map[string]int64{"": DefaultOpset}, Defaults: Attrs{},
		Nodes: []*Node{
			{Op: "Constant", Outputs: []string{"f"}, Attrs: Attrs{"value_float": Ref{Name: "factor", Type: attrFloat}}},
			{Op: "Mul", Inputs: []string{"v", "f"}, Outputs: []string{"r"}, Attrs: Attrs{}},
		},
	}}
	m.Metadata = map[string]string{"task": "test"}
	return m
}

func TestSmallModelRoundTrips(t *testing.T) {
	m := smallModel()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	data := encode(t, m)
	if again := encode(t, decodeModel(t, data)); !bytes.Equal(data, again) {
		t.Error("the model does not re-encode to the same bytes")
	}
}

func TestEncodeRefusesContentThatDoesNotFillItsShape(t *testing.T) {
	m := smallModel()
	m.Graph.Initializers[0] = &Tensor{Name: "w", Type: Float32, Shape: []int64{3, 2}}
	_, err := m.Encode()
	wantError(t, err, `tensor "w"`, "24 bytes")
}
