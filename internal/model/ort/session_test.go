package ort_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay/internal/model/ort"
	"assay/onnx"
)

// double gives 2x for rows of two numbers.
func double(t onnx.DataType) *onnx.Model {
	b := onnx.NewBuilder("double")
	x := b.Input("x", t, "n", 2)
	b.OutputAs("y", b.Op("Mul", nil, x, b.Number(t, 2)), t, onnx.Dims("n", 2))
	return b.Model()
}

func session(t testing.TB, m *onnx.Model) *ort.Session {
	t.Helper()
	s, err := ort.New(m, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRunWritesIntoTheCallersMemory(t *testing.T) {
	s := session(t, double(onnx.Float32))
	x, y := []float32{1, 2, 3, 4}, make([]float32, 4)
	err := s.Run(context.Background(), []*ort.Tensor{ort.NewTensor(x, 2, 2)}, []*ort.Tensor{ort.NewTensor(y, 2, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(y, []float32{2, 4, 6, 8}) {
		t.Error(y)
	}
}

func TestRunMakesOutputs(t *testing.T) {
	half := func(values ...float32) []uint16 {
		out := make([]uint16, len(values))
		for i, v := range values {
			out[i] = onnx.Float32ToFloat16(v)
		}
		return out
	}
	raw := ort.NewTensor(half(1, 2, 3, 4)).Bytes()
	halves, err := ort.NewRaw(onnx.Float16, raw, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		x    *ort.Tensor
		want any
		got  func(*ort.Tensor) any
	}{
		{ort.NewTensor([]float64{1, 2, 3, 1e300}, 2, 2), []float64{2, 4, 6, 2e300}, func(t *ort.Tensor) any { return ort.Data[float64](t) }},
		{ort.NewTensor([]int64{1, 2, 3, 1 << 60}, 2, 2), []int64{2, 4, 6, 1 << 61}, func(t *ort.Tensor) any { return ort.Data[int64](t) }},
		{halves, half(2, 4, 6, 8), func(t *ort.Tensor) any { return ort.Data[uint16](t) }},
	}
	for _, tt := range tests {
		t.Run(tt.x.Type.String(), func(t *testing.T) {
			outputs := []*ort.Tensor{nil}
			if err := session(t, double(tt.x.Type)).Run(context.Background(), []*ort.Tensor{tt.x}, outputs); err != nil {
				t.Fatal(err)
			}
			if got := tt.got(outputs[0]); !reflect.DeepEqual(got, tt.want) || !slices.Equal(outputs[0].Shape, []int64{2, 2}) {
				t.Errorf("%v %v, not %v", outputs[0], got, tt.want)
			}
		})
	}
}

// TestScalars has the binding's weak spot: a scalar output, stated to be one or not.
func TestScalars(t *testing.T) {
	for _, shape := range []onnx.Shape{{}, nil} {
		b := onnx.NewBuilder("sum")
		x, scale := b.Input("x", onnx.Float32, "n"), b.Input("scale", onnx.Float32)
		b.OutputAs("first", x, onnx.Float32, nil)
		b.OutputAs("sum", b.Op("Mul", nil, scale, b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, x)), onnx.Float32, shape)
		s := session(t, b.Model())
		rate := []float32{1}
		outputs := []*ort.Tensor{nil, nil}
		bound, err := s.Bind([]*ort.Tensor{ort.NewTensor([]float32{1, 2, 3}), ort.NewTensor(rate, []int64{}...)}, outputs)
		if err != nil {
			t.Fatal(err)
		}
		defer bound.Close()
		for _, rate[0] = range []float32{1, 0.5} {
			if err := bound.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := ort.Data[float32](outputs[1]); got[0] != 6*rate[0] || len(outputs[1].Shape) != 0 {
				t.Errorf("shape %v: %v %v", shape, outputs[1], got)
			}
		}
	}
}

func TestBindingReadsWhatTheMemoryHolds(t *testing.T) {
	s := session(t, double(onnx.Float32))
	x, y := make([]float32, 2), make([]float32, 2)
	b, err := s.Bind([]*ort.Tensor{ort.NewTensor(x, 1, 2)}, []*ort.Tensor{ort.NewTensor(y, 1, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range 100 {
		x[0], x[1] = float32(i), -float32(i)
		runtime.GC() // the runtime's pointers must stay good
		if err := b.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if y[0] != 2*x[0] || y[1] != 2*x[1] {
			t.Fatalf("%v for %v", y, x)
		}
	}
	b.Close()
	if b.Run(context.Background()) == nil {
		t.Error("a closed binding runs")
	}
}

// TestRunsAllocateNoBatches: what a run allocates does not grow with its tensors.
func TestRunsAllocateNoBatches(t *testing.T) {
	s := session(t, double(onnx.Float32))
	allocated := func(rows int64) uint64 {
		x, _ := ort.Empty(onnx.Float32, rows, 2)
		y, _ := ort.Empty(onnx.Float32, rows, 2)
		b, err := s.Bind([]*ort.Tensor{x}, []*ort.Tensor{y})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			if err := b.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 10
	}
	if few, many := allocated(1), allocated(100_000); many > few+4096 || few > 4096 {
		t.Errorf("a run allocates %d bytes for 1 row and %d for 100000", few, many)
	}
}

func TestNoInputs(t *testing.T) {
	b := onnx.NewBuilder("constant")
	b.OutputAs("y", b.Weight(onnx.NewTensor("w", []float32{1, 2})), onnx.Float32, onnx.Dims(2))
	path := filepath.Join(t.TempDir(), "constant.onnx")
	if err := b.Model().Save(path); err != nil {
		t.Fatal(err)
	}
	s, err := ort.Open(path, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	outputs := []*ort.Tensor{nil}
	if err := s.Run(context.Background(), nil, outputs); err != nil || !slices.Equal(ort.Data[float32](outputs[0]), []float32{1, 2}) {
		t.Error(outputs[0], err)
	}
}

func TestRunValues(t *testing.T) {
	s := session(t, sklearnLinear())
	got, err := s.RunValues(context.Background(), ort.NewTensor([]float32{9, 0, 0, 0, 0, 9}, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	if label := got[0].(*ort.Tensor).Strings(); !slices.Equal(label, []string{"setosa", "virginica"}) {
		t.Error(label)
	}
	rows := got[1].([]any)
	if len(rows) != 2 {
		t.Fatal(rows)
	}
	for i, want := range []string{"setosa", "virginica"} {
		row := rows[i].(map[string]float32)
		names := slices.SortedFunc(maps.Keys(row), func(a, b string) int { return int(math.Copysign(1, float64(row[b]-row[a]))) })
		if len(row) != 3 || names[0] != want || row[want] < 0.9 {
			t.Errorf("row %d: %v", i, row)
		}
	}
	if _, err := s.RunValues(context.Background(), map[string]int{"a": 1}); err == nil || !strings.Contains(err.Error(), `input "float_input": a map[string]int is not`) {
		t.Error(err)
	}
}

func TestMapInput(t *testing.T) {
	b := onnx.NewBuilder("vectorizer")
	count := onnx.TensorOf(onnx.Float32, onnx.Shape{})
	b.Graph.Inputs = append(b.Graph.Inputs, onnx.Value{Name: b.Name("counts"), Type: onnx.Type{Kind: onnx.KindMap, Elem: onnx.String, Of: &count}})
	b.Add("DictVectorizer", onnx.Attrs{"string_vocabulary": []string{"a", "b", "c"}}, []string{"counts"}, []string{b.Name("y")}).Domain = machineLearning
	b.Output("y", onnx.Float32, onnx.Dims(1, 3))
	got, err := session(t, sklearnModel(b)).RunValues(context.Background(), map[string]float32{"c": 3, "a": 1})
	if err != nil {
		t.Fatal(err)
	}
	if y := ort.Data[float32](got[0].(*ort.Tensor)); !slices.Equal(y, []float32{1, 0, 3}) {
		t.Error(y)
	}
}

func TestSideBySide(t *testing.T) {
	shared := session(t, double(onnx.Float32))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := shared
			if i%2 == 0 {
				var err error
				if s, err = ort.New(double(onnx.Float32), ort.Options{Threads: 1, FreeMemory: true}); err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
			}
			for j := range 20 {
				x := ort.NewTensor([]float32{float32(i), float32(j)}, 1, 2)
				outputs := []*ort.Tensor{nil}
				if err := s.Run(context.Background(), []*ort.Tensor{x}, outputs); err != nil {
					t.Error(err)
				} else if y := ort.Data[float32](outputs[0]); y[0] != 2*float32(i) || y[1] != 2*float32(j) {
					t.Error(y)
				}
			}
		})
	}
	wg.Wait()
}

// TestCancel ends a loop that would run for ages.
func TestCancel(t *testing.T) {
	body := onnx.NewBuilder("body")
	body.Input("i", onnx.Int64)
	cond, v := body.Input("cond", onnx.Bool), body.Input("v", onnx.Float32, 1)
	body.OutputAs("cond_out", cond, onnx.Bool, onnx.Shape{})
	body.OutputAs("v_out", body.Op("Sin", nil, v), onnx.Float32, onnx.Dims(1))
	b := onnx.NewBuilder("loop")
	x := b.Input("x", onnx.Float32, 1)
	trips := b.Weight(onnx.Scalar("trips", int64(math.MaxInt64)))
	yes := b.Weight(onnx.Scalar("yes", true))
	b.OutputAs("y", b.Op("Loop", onnx.Attrs{"body": body.Graph}, trips, yes, x), onnx.Float32, onnx.Dims(1))
	s := session(t, b.Model())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := s.Run(ctx, []*ort.Tensor{ort.NewTensor([]float32{1})}, []*ort.Tensor{nil})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestWrongTensors(t *testing.T) {
	s := session(t, double(onnx.Float32))
	x, y := ort.NewTensor([]float32{1, 2}, 1, 2), ort.NewTensor(make([]float32, 2), 1, 2)
	tests := []struct {
		name            string
		inputs, outputs []*ort.Tensor
		want            string
	}{
		{"no input", nil, []*ort.Tensor{y}, `model "double" wants 1 inputs (["x"]), and 0 are given`},
		{"nil input", []*ort.Tensor{nil}, []*ort.Tensor{y}, `input "x" is missing`},
		{"type", []*ort.Tensor{ort.NewTensor([]float64{1, 2}, 1, 2)}, []*ort.Tensor{y}, `input "x" is float32[n 2], and float64[1 2] is given`},
		{"size", []*ort.Tensor{ort.NewTensor([]float32{1, 2, 3}, 1, 3)}, []*ort.Tensor{y}, `input "x" is float32[n 2], and float32[1 3] is given`},
		{"rank", []*ort.Tensor{ort.NewTensor([]float32{1, 2})}, []*ort.Tensor{y}, `input "x" is float32[n 2], and float32[2] is given`},
		{"no room", []*ort.Tensor{x}, nil, `has 1 outputs (["y"]), and room for 0 is given`},
		{"output type", []*ort.Tensor{x}, []*ort.Tensor{ort.NewTensor([]int64{1, 2}, 1, 2)}, `output "y" is float32[n 2], and int64[1 2] is given`},
		{"output size", []*ort.Tensor{x}, []*ort.Tensor{ort.NewTensor(make([]float32, 4), 2, 2)}, `model "double": the run failed`},
		{"content", []*ort.Tensor{{Type: onnx.Float32, Shape: []int64{5, 2}}}, []*ort.Tensor{y}, `input "x": its content does not fill its shape [5 2]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.Run(context.Background(), tt.inputs, tt.outputs); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
}

func TestBadModels(t *testing.T) {
	good, err := double(onnx.Float32).Encode()
	if err != nil {
		t.Fatal(err)
	}
	build := func(change func(*onnx.Model)) []byte {
		m := double(onnx.Float32)
		change(m)
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, ""},
		{"truncated", good[:len(good)/2], ""},
		{"text", []byte("this is not a model"), ""},
		{"unknown operator", build(func(m *onnx.Model) { m.Graph.Nodes[0].Op = "Frobnicate" }), "Frobnicate"},
		{"unknown domain", build(func(m *onnx.Model) { m.Graph.Nodes[0].Domain = "com.example" }), "com.example"},
		{"cycle", build(func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[0] = "y" }), ""},
		{"dangling", build(func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[0] = "nowhere" }), "nowhere"},
		{"no output", build(func(m *onnx.Model) { m.Graph.Outputs = nil }), "no outputs"},
		{"untyped output", build(func(m *onnx.Model) { m.Graph.Outputs[0].Type = onnx.Type{} }), `the type of "y"`},
		{"opset from the future", build(func(m *onnx.Model) { m.Opsets[""] = 999 }), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.onnx")
			if err := os.WriteFile(path, tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := ort.Open(path, ort.Options{})
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not name %s and %q", err, path, tt.want)
			}
		})
	}
	if _, err := ort.Open(filepath.Join(t.TempDir(), "absent.onnx"), ort.Options{}); err == nil {
		t.Error("an absent file opens")
	}
	if _, err := ort.New(nil, ort.Options{}); err == nil {
		t.Error("no model runs")
	}
}

func TestExternalData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.onnx")
	b := onnx.NewBuilder("external")
	x := b.Input("x", onnx.Float32, 1, 1000)
	b.OutputAs("y", b.Op("MatMul", nil, x, b.Weight(weights("w", 1000, 2))), onnx.Float32, onnx.Dims(1, 2))
	if err := b.Model().SaveExternal(path); err != nil {
		t.Fatal(err)
	}
	row := ort.NewTensor(onnxData(t, weights("x", 1, 1000)), 1, 1000)
	var results [][]float32
	opened, err := ort.Open(path, ort.Options{Optimization: ort.OptimizeOff})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*ort.Session{opened, session(t, m), session(t, b.Model())} {
		outputs := []*ort.Tensor{nil}
		if err := s.Run(context.Background(), []*ort.Tensor{row}, outputs); err != nil {
			t.Fatal(err)
		}
		results = append(results, ort.Data[float32](outputs[0]))
	}
	if !slices.Equal(results[0], results[1]) || !slices.Equal(results[0], results[2]) {
		t.Error(results)
	}
}

func onnxData(t *testing.T, c *onnx.Tensor) []float32 {
	t.Helper()
	data, err := onnx.View[float32](c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestClosedSession(t *testing.T) {
	s := session(t, double(onnx.Float32))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	err := s.Run(context.Background(), []*ort.Tensor{ort.NewTensor([]float32{1, 2}, 1, 2)}, []*ort.Tensor{nil})
	if err == nil || !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}
