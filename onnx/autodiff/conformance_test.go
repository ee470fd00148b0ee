package autodiff

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/internal/realdata"
	"assay/onnx"
)

// TestConformanceGradients checks, on each of ONNX's own backend cases whose
// operators have rules, that the forward graph gives the outputs stated and that the
// gradients are those of finite differences. Cases that cannot be checked are listed
// with the reason in testdata/unchecked.txt, exactly: one that passes must leave it.
func TestConformanceGradients(t *testing.T) {
	listed := unchecked(t)
	cases := realdata.Conformance(t)
	results := make([]result, len(cases))
	work := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range work {
				results[i] = caseGradients(cases[i])
			}
		})
	}
	for i := range cases {
		work <- i
	}
	close(work)
	wg.Wait()
	counts := map[outcome]int{}
	compared := 0
	without := map[string]bool{}
	for i, r := range results {
		name := cases[i].Group + "/" + cases[i].Name
		counts[r.outcome]++
		compared += r.compared
		if none := (*NotDifferentiable)(nil); errors.As(r.err, &none) {
			for _, n := range none.Nodes {
				without[n.OpType()] = true
			}
		}
		_, known := listed[name]
		switch {
		case r.outcome == failed && !known:
			t.Errorf("%s: %v", name, r.err)
		case r.outcome != failed && known:
			t.Errorf("%s is %s: take it off the list", name, r.outcome)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is listed, but there is no such case", name)
	}
	for _, o := range []outcome{checked, checkedWithConstants, tooOld, straightThrough, withoutGradient, discrete, failed} {
		t.Logf("%5d cases %s", counts[o], o)
	}
	t.Logf("%5d slopes compared", compared)
	t.Logf("without a gradient: %s", strings.Join(slices.Sorted(maps.Keys(without)), " "))
	if counts[checked] < 1050 {
		t.Errorf("only %d cases could be checked", counts[checked])
	}
}

type outcome string

const (
	checked              outcome = "checked"
	checkedWithConstants outcome = "checked with the inputs that are whole numbers made constants"
	tooOld               outcome = "of an operator set older than is supported"
	straightThrough      outcome = "with a gradient that is not the derivative, and says so"
	withoutGradient      outcome = "with an operator that has no gradient"
	discrete             outcome = "without an input or an output of floating point"
	failed               outcome = "that cannot be checked"
)

type result struct {
	outcome  outcome
	compared int
	err      error
}

func caseGradients(c realdata.Case) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r = result{failed, 0, fmt.Errorf("panic: %v", p)}
		}
	}()
	m, err := onnx.Decode(c.Model)
	if err != nil {
		return result{failed, 0, err}
	}
	if v := m.Opset(); v > 0 && v < onnx.MinOpset {
		return result{outcome: tooOld}
	}
	floats := func(list []onnx.Value) bool {
		return slices.ContainsFunc(list, func(v onnx.Value) bool { return v.Type.Kind == onnx.KindTensor && v.Type.Elem.IsFloat() })
	}
	if !floats(m.Graph.FreeInputs()) || !floats(m.Graph.Outputs) {
		return result{outcome: discrete}
	}
	if g, err := New(m); err != nil {
		return result{failed, 0, err}
	} else {
		m = g.Model()
	}
	names := m.Graph.FreeInputs()
	r = graphGradients(m, names, c)
	if !errors.As(r.err, new(errRule)) || len(c.Sets) == 0 {
		return r
	}
	// A rule may need to know sizes and the like, which networks hold as constants.
	if m, err = withConstants(m, names, c.Sets[0]); err != nil {
		return result{failed, 0, err}
	}
	if r = graphGradients(m, names, c); r.outcome == checked {
		r.outcome = checkedWithConstants
	}
	return r
}

// errRule says that a rule refuses the node.
type errRule struct{ error }

// withConstants makes constants of the inputs that are whole numbers.
func withConstants(m *onnx.Model, names []onnx.Value, set realdata.Set) (*onnx.Model, error) {
	m = m.Clone()
	for i, v := range names {
		if v.Type.Kind != onnx.KindTensor || v.Type.Elem.IsFloat() {
			continue
		}
		value, err := decodeValue(set.Inputs[i], v.Type)
		if err != nil {
			return nil, err
		}
		t, err := value.(*ort.Tensor).ONNX(v.Name)
		if err != nil {
			return nil, err
		}
		m.Graph.Initializers = append(m.Graph.Initializers, t)
		m.Graph.Inputs = slices.DeleteFunc(m.Graph.Inputs, func(in onnx.Value) bool { return in.Name == v.Name })
	}
	return m, nil
}

// graphGradients checks a case's model, whose inputs have the names given.
func graphGradients(m *onnx.Model, names []onnx.Value, c realdata.Case) (r result) {
	g, err := New(m)
	if err != nil {
		return result{failed, 0, err}
	}
	m = g.Model()
	hash := fnv.New64()
	hash.Write([]byte(c.Name))
	check := gradientCheck{model: m, feeds: map[string]float64eval.Value{}, seed: hash.Sum64()}
	if err := elementary(g, check); err != nil {
		return result{failed, 0, errRule{err}}
	}
	if err := haveRules(check); err != nil {
		return outcomeOf(0, errRule{err})
	}
	for i, set := range c.Sets {
		for j, v := range names {
			if check.feeds[v.Name], err = decodeValue(set.Inputs[j], v.Type); err != nil {
				return result{failed, 0, fmt.Errorf("input %s: %w", v.Name, err)}
			}
		}
		if err := forwardAsStated(m, check.feeds, set); err != nil {
			return result{failed, 0, fmt.Errorf("forward: %w", err)}
		}
		if i == 0 {
			r = outcomeOf(check.run())
		}
	}
	return r
}

func (e errRule) Unwrap() error { return e.error }

func outcomeOf(compared int, err error) result {
	var none *NotDifferentiable
	var straight errStraight
	switch {
	case err == nil:
		return result{checked, compared, nil}
	case errors.As(err, &none):
		return result{withoutGradient, 0, err}
	case errors.Is(err, errDiscrete):
		return result{discrete, 0, err}
	case errors.As(err, &straight):
		return result{straightThrough, 0, err}
	}
	return result{failed, 0, err}
}

// haveRules fails with *NotDifferentiable where an output's gradient needs a rule
// that there is not.
func haveRules(c gradientCheck) error {
	params, _ := c.params()
	if len(params) == 0 {
		return errDiscrete
	}
	for _, v := range c.model.Graph.Outputs {
		if v.Type.Kind != onnx.KindTensor || !v.Type.Elem.IsFloat() {
			continue
		}
		g, err := New(c.model)
		if err != nil {
			return err
		}
		if _, err := g.Gradient(v.Name, params...); err != nil {
			if none := (*NoPath)(nil); !errors.As(err, &none) {
				return err
			}
		}
	}
	return nil
}

// forwardAsStated checks the float64 evaluation, which all differences stand on,
// node by node.
func forwardAsStated(m *onnx.Model, feeds map[string]float64eval.Value, set realdata.Set) error {
	wide, err := float64eval.Convert(m)
	if err != nil {
		return err
	}
	e, err := float64eval.ByNode(wide)
	if err != nil {
		return err
	}
	defer e.Close()
	inputs, err := widened(feeds)
	if err != nil {
		return err
	}
	got, err := e.Run(inputs)
	if err != nil {
		return err
	}
	for i, v := range m.Graph.Outputs {
		want, err := decodeValue(set.Outputs[i], v.Type)
		if err != nil {
			return err
		}
		if err := closeTo(got[v.Name], want); err != nil {
			return fmt.Errorf("output %s: %w", v.Name, err)
		}
	}
	return nil
}

// closeTo compares about as ONNX's own test runner does.
func closeTo(got, want float64eval.Value) error {
	switch want := want.(type) {
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("is %v, not a sequence of %d", got, len(want))
		}
		for i := range want {
			if err := closeTo(list[i], want[i]); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	case *ort.Tensor:
		t, ok := got.(*ort.Tensor)
		if !ok || !slices.Equal(t.Shape, want.Shape) {
			return fmt.Errorf("is %v, not %v", got, want)
		}
		if want.Type == onnx.String {
			return nil
		}
		relative, absolute := 1e-3, 1e-6
		if want.Type == onnx.Float16 || want.Type == onnx.BFloat16 {
			relative, absolute = 1e-2, 1e-2
		}
		g, w := numbers(t), numbers(want)
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
	return fmt.Errorf("is %v, not %v", got, want)
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

// unchecked reads the list of cases that cannot be checked: case, tab, reason.
func unchecked(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "unchecked.txt"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, "\t")
		if !ok || why == "" {
			t.Fatalf("testdata/unchecked.txt has no reason for %q", line)
		}
		list[name] = why
	}
	return list
}

// decodeValue reads a serialized TensorProto, SequenceProto or OptionalProto.
func decodeValue(data []byte, t onnx.Type) (float64eval.Value, error) {
	switch t.Kind {
	case onnx.KindTensor:
		return decodeTensor(data)
	case onnx.KindSequence:
		const tensorValues = 3
		list := []any{}
		for len(data) > 0 {
			num, wire, n := protowire.ConsumeField(data)
			if n < 0 {
				return nil, protowire.ParseError(n)
			}
			if num == tensorValues && wire == protowire.BytesType {
				_, _, tag := protowire.ConsumeTag(data)
				content, _ := protowire.ConsumeBytes(data[tag:n])
				v, err := decodeTensor(content)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			data = data[n:]
		}
		return list, nil
	}
	return nil, fmt.Errorf("a %s is not decoded here", t)
}

// decodeTensor reads a TensorProto as the one initializer of a model around it.
func decodeTensor(data []byte) (*ort.Tensor, error) {
	const modelGraph, graphInitializer = 7, 5
	wrap := func(num protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
	}
	m, err := onnx.Decode(wrap(modelGraph, wrap(graphInitializer, data)))
	if err != nil {
		return nil, err
	}
	return ort.FromONNX(m.Graph.Initializers[0])
}
