package ort_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/model/ort"
	"assay/internal/realdata"
	"assay/onnx"
)

// TestConformance runs ONNX's own backend cases. Those that fail for a reason that
// is not ours are listed with it in testdata/unsupported.txt, exactly: a case that
// starts to work must leave the list.
func TestConformance(t *testing.T) {
	listed := unsupported(t)
	if len(listed) > 125 {
		t.Errorf("%d cases are listed: the number may only shrink", len(listed))
	}
	for _, c := range realdata.Conformance(t) {
		name := c.Group + "/" + c.Name
		err := conforms(c)
		switch why, known := listed[name]; {
		case err != nil && !known:
			t.Errorf("%s: %v", name, err)
		case err == nil && known && !strings.Contains(why, "locale"):
			t.Errorf("%s works: take it off the list", name)
		}
	}
}

func unsupported(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "unsupported.txt"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, why, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(name, "#") {
			list[name] = why
		}
	}
	return list
}

// looser are cases for which ONNX's own runner allows a larger absolute error:
// float32 transforms whose expected values are exact zeros.
var looser = map[string]float64{
	"node/test_dft": 1e-3, "node/test_dft_axis": 1e-3, "node/test_dft_inverse": 1e-3,
	"node/test_dft_opset19": 1e-3, "node/test_dft_axis_opset19": 1e-3, "node/test_dft_inverse_opset19": 1e-3,
	"node/test_stft": 1e-3, "node/test_stft_with_window": 1e-3,
}

func conforms(c realdata.Case) error {
	m, err := onnx.Decode(c.Model)
	if err != nil {
		return err
	}
	s, err := ort.New(m, ort.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer s.Close()
	if len(c.Sets) == 0 {
		return fmt.Errorf("the case has no data")
	}
	for _, set := range c.Sets {
		if err := conformsOn(s, set, max(1e-7, looser[c.Group+"/"+c.Name])); err != nil {
			return err
		}
	}
	return nil
}

func conformsOn(s *ort.Session, set realdata.Set, absolute float64) error {
	var inputs []any
	for i, v := range s.Inputs() {
		x, err := decodeValue(set.Inputs[i], v.Type)
		if err != nil {
			return fmt.Errorf("read input %d: %w", i, err)
		}
		inputs = append(inputs, x)
	}
	var wants []any
	for i, v := range s.Outputs() {
		want, err := decodeValue(set.Outputs[i], v.Type)
		if err != nil {
			return fmt.Errorf("read output %d: %w", i, err)
		}
		wants = append(wants, want)
	}
	got, err := evaluate(s, inputs, wants)
	if err != nil {
		return err
	}
	for i, want := range wants {
		if err := closeTo(got[i], want, absolute); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

// evaluate gives models of tensors alone memory for every second output, so that
// both ways of receiving an output are tried.
func evaluate(s *ort.Session, inputs, wants []any) ([]any, error) {
	ins, insOK := tensors(inputs)
	outs, outsOK := tensors(wants)
	if !insOK || !outsOK {
		return s.RunValues(context.Background(), inputs...)
	}
	outputs := make([]*ort.Tensor, len(outs))
	for i, want := range outs {
		if i%2 == 1 {
			outputs[i], _ = ort.Empty(want.Type, want.Shape...)
		}
	}
	if err := s.Run(context.Background(), ins, outputs); err != nil {
		return nil, err
	}
	got := make([]any, len(outputs))
	for i, t := range outputs {
		got[i] = t
	}
	return got, nil
}

func tensors(values []any) ([]*ort.Tensor, bool) {
	out := make([]*ort.Tensor, len(values))
	for i, v := range values {
		t, ok := v.(*ort.Tensor)
		if !ok {
			return nil, false
		}
		out[i] = t
	}
	return out, true
}

// decodeValue reads a serialized TensorProto, SequenceProto or OptionalProto.
func decodeValue(data []byte, t onnx.Type) (any, error) {
	switch t.Kind {
	case onnx.KindTensor:
		return decodeTensor(data)
	case onnx.KindSequence:
		const tensorValues, sequenceValues = 3, 5
		list := []any{}
		err := fields(data, func(num protowire.Number, content []byte) error {
			if num != tensorValues && num != sequenceValues {
				return nil
			}
			v, err := decodeValue(content, *t.Of)
			list = append(list, v)
			return err
		})
		return list, err
	case onnx.KindOptional:
		const tensorValue, sequenceValue = 3, 5
		var value any
		err := fields(data, func(num protowire.Number, content []byte) (err error) {
			if num == tensorValue || num == sequenceValue {
				value, err = decodeValue(content, *t.Of)
			}
			return err
		})
		if value == nil && err == nil {
			// Some cases give the content of an optional as it is.
			return decodeValue(data, *t.Of)
		}
		return value, err
	}
	return nil, fmt.Errorf("a %s is not decoded here", t)
}

func fields(data []byte, visit func(protowire.Number, []byte) error) error {
	for len(data) > 0 {
		num, wire, n := protowire.ConsumeField(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if wire == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(data)
			content, _ := protowire.ConsumeBytes(data[tag:n])
			if err := visit(num, content); err != nil {
				return err
			}
		}
		data = data[n:]
	}
	return nil
}

func decodeTensor(data []byte) (*ort.Tensor, error) {
	t, err := onnx.DecodeTensor(data)
	if err != nil {
		return nil, err
	}
	return ort.FromONNX(t)
}

// closeTo compares as ONNX's own test runner does.
func closeTo(got, want any, absolute float64) error {
	switch want := want.(type) {
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("is %v, not a sequence of %d", got, len(want))
		}
		for i := range want {
			if err := closeTo(list[i], want[i], absolute); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	case *ort.Tensor:
		t, ok := got.(*ort.Tensor)
		if !ok || t.Type != want.Type || !slices.Equal(t.Shape, want.Shape) {
			return fmt.Errorf("is %v, not %v", got, want)
		}
		return sameContent(t, want, absolute)
	}
	return fmt.Errorf("is %v, not %v", got, want)
}

func sameContent(got, want *ort.Tensor, absolute float64) error {
	const relative = 1e-3
	if !want.Type.IsFloat() {
		if !bytes.Equal(canonical(got), canonical(want)) || !slices.Equal(got.Strings(), want.Strings()) {
			return fmt.Errorf("%s differs: %v, not %v", want, got.Bytes(), want.Bytes())
		}
		return nil
	}
	g, w := numbers(got), numbers(want)
	for i := range w {
		if math.IsNaN(w[i]) && math.IsNaN(g[i]) || g[i] == w[i] {
			continue
		}
		if d := math.Abs(g[i] - w[i]); !(d <= absolute+relative*math.Abs(w[i])) {
			return fmt.Errorf("element %d of %s is %g, not %g", i, want, g[i], w[i])
		}
	}
	return nil
}

// canonical gives a tensor's bytes with one encoding of NaN: float8e5m2 has three.
func canonical(t *ort.Tensor) []byte {
	raw := bytes.Clone(t.Bytes())
	if t.Type == onnx.Float8E5M2 {
		for i, b := range raw {
			if b&0x7f > 0x7c {
				raw[i] = 0x7f
			}
		}
	}
	return raw
}

func numbers(t *ort.Tensor) []float64 {
	c, err := t.ONNX("")
	if err != nil {
		panic(err)
	}
	list, err := c.Float64s()
	if err != nil {
		panic(err)
	}
	return list
}
