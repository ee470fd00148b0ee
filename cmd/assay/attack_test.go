package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/evasion/linear"
	"assay/internal/train/network"
	"assay/onnx"
)

// attackFiles are models without a schema, and data for them in a folder.
func attackFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := network.MLP(2, []int{4}, 2, 1).Save(filepath.Join(dir, "two.onnx")); err != nil {
		t.Fatal(err)
	}
	if err := network.CNN(3, 4, 4, []int{4}, 2, 1).Save(filepath.Join(dir, "images.onnx")); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"good.csv":    "x,y,label\n0.5,0.1,0\n0.2,0.3,1\n0.9,0.8,0\n0.1,0.7,1\n",
		"nan.csv":     "x,y,label\n0.5,0.1,0\n0.2,NaN,1\n",
		"text.csv":    "x,y,label\n0.5,0.1,0\n0.2,high,1\n",
		"classes.csv": "x,y,label\n0.5,0.1,0\n0.2,0.3,1\n0.9,0.8,2\n",
		"range.csv":   "x,y,label\n0.5,0.1,0\n0.2,0.3,7\n0.9,0.8,0\n0.1,0.7,7\n0.1,0.6,1\n",
		"wide.csv":    "x,y,z,label\n0.5,0.1,1,0\n0.2,0.3,2,1\n",
		"bytes.csv":   "a,label\n", // replaced below
	}
	var big strings.Builder
	for i := range 48 {
		fmt.Fprintf(&big, "p%d,", i)
	}
	big.WriteString("label\n")
	for r := range 4 {
		for i := range 48 {
			fmt.Fprintf(&big, "%d,", (i*37+r*11)%256)
		}
		fmt.Fprintf(&big, "%d\n", r%2)
	}
	files["bytes.csv"] = big.String()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func attackWith(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(context.Background(), append([]string{"attack"}, args...), Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// What does not fit is a sentence with the place, and exit code 3.
func TestAttackRefuses(t *testing.T) {
	dir := attackFiles(t)
	for _, c := range []struct{ model, data, want string }{
		{"two.onnx", "nan.csv", `line 3, column "y"`},
		{"two.onnx", "text.csv", "a record has 3 numbers"},
		{"two.onnx", "classes.csv", `the data have 3 classes (["0" "1" "2"]), and the model has 2: the label "2" is none of 0 to 1`},
		{"two.onnx", "range.csv", `the label "7" is none of 0 to 1`},
		{"two.onnx", "wide.csv", "a record has 3 numbers (shape [3]), and the model takes 2 (shape [2])"},
		{"images.onnx", "good.csv", "a record has 2 numbers (shape [2]), and the model takes 48 (shape [3 4 4])"},
		{"none.onnx", "good.csv", "none.onnx"},
	} {
		code, out, errs := attackWith(t, "--model", filepath.Join(dir, c.model), "--data", filepath.Join(dir, c.data), "--method", "pgd", "--eps", "0.1")
		if code != exitUsage || out != "" || !strings.Contains(errs, c.want) || strings.Contains(errs, "goroutine") {
			t.Errorf("%s on %s: exit %d, %q, want %q", c.model, c.data, code, errs, c.want)
		}
	}
}

func TestAttackTellsOfRanges(t *testing.T) {
	dir := attackFiles(t)
	code, _, errs := attackWith(t, "--model", filepath.Join(dir, "images.onnx"), "--data", filepath.Join(dir, "bytes.csv"), "--method", "noise", "--eps", "2", "--n", "2")
	if code != exitOK || !strings.Contains(errs, "the data hold numbers from 0 to 25") || !strings.Contains(errs, "seems to expect 0 to 1") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// The result has exactly the members that are promised, and they agree with each other.
func TestAttackReport(t *testing.T) {
	dir := attackFiles(t)
	code, out, errs := attackWith(t, "--model", filepath.Join(dir, "two.onnx"), "--data", filepath.Join(dir, "good.csv"), "--method", "pgd", "--eps", "0.1", "--format", "json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var members map[string]json.RawMessage
	var r attackReport
	if err := json.Unmarshal([]byte(out), &members); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	var names []string
	for n := range members {
		names = append(names, n)
	}
	slices.Sort(names)
	want := []string{"clean_accuracy", "eps", "lower", "method", "n", "norm", "queries", "robust_accuracy", "seconds", "units", "upper"}
	if !slices.Equal(names, want) {
		t.Errorf("members %v, want %v", names, want)
	}
	correct, robust := 0, 0
	for i, u := range r.Units {
		if u.Index != int64(i) || u.Robust && !u.Correct {
			t.Errorf("unit %d is %+v", i, u)
		}
		if u.Correct {
			correct++
		}
		if u.Robust {
			robust++
		}
	}
	if r.N != 4 || len(r.Units) != 4 || r.CleanAccuracy != float64(correct)/4 || r.RobustAccuracy != float64(robust)/4 {
		t.Errorf("%+v", r)
	}
	if !(0 <= r.Lower && r.Lower <= r.RobustAccuracy && r.RobustAccuracy <= r.Upper && r.Upper <= 1) || math.IsNaN(r.Lower) {
		t.Errorf("bounds %v and %v around %v", r.Lower, r.Upper, r.RobustAccuracy)
	}
}

// A model that takes channels last is attacked on the same images as one that takes them first.
func TestAttackTurnsImages(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 1))
	c := &linear.Classifier{Width: 48, Classes: []int32{0, 1}, Weights: make([]float64, 96), Bias: make([]float64, 2)}
	for i := range c.Weights {
		c.Weights[i] = random.NormFloat64()
	}
	first := c.Model([]int64{3, 4, 4})
	last := first.Clone()
	b := onnx.Extend(last.Graph)
	input := &last.Graph.Inputs[0]
	input.Type = onnx.TensorOf(onnx.Float32, onnx.Dims("batch", 4, 4, 3))
	turned := b.Op("Transpose", onnx.Attrs{"perm": []int64{0, 3, 1, 2}}, input.Name)
	for _, n := range last.Graph.Nodes {
		if n.Op != "Transpose" && n.Input(0) == input.Name {
			n.Inputs[0] = turned
		}
	}
	if err := last.Sort(); err != nil {
		t.Fatal(err)
	}
	var data strings.Builder
	for i := range 48 {
		fmt.Fprintf(&data, "p%d,", i)
	}
	data.WriteString("label\n")
	for r := range 20 {
		for i := range 48 {
			fmt.Fprintf(&data, "%.2f,", float64((i*37+r*r*11)%101)/100)
		}
		fmt.Fprintf(&data, "%d\n", r%2)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	csv, schema := write("images.csv", data.String()), write("schema.yaml", "shape: [3, 4, 4]\n")
	reports := map[string]attackReport{}
	for name, m := range map[string]*onnx.Model{"first": first, "last": last} {
		path := filepath.Join(dir, name+".onnx")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		code, out, errs := attackWith(t, "--model", path, "--data", csv, "--schema", schema, "--method", "pgd", "--restarts", "1", "--eps", "0.1",
			"--format", "json", "--out", filepath.Join(dir, name+".npz"))
		if code != exitOK {
			t.Fatalf("%s: exit %d: %s", name, code, errs)
		}
		var r attackReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		r.Seconds = 0
		reports[name] = r
	}
	if !reflect.DeepEqual(reports["first"], reports["last"]) {
		t.Errorf("channels first: %+v, last: %+v", reports["first"], reports["last"])
	}
	if r := reports["first"]; r.CleanAccuracy == 0 || r.RobustAccuracy == r.CleanAccuracy {
		t.Errorf("nothing is found, so nothing is compared: %+v", r)
	}
}

// Arrays, with their labels in a file of their own.
func TestAttackOnArrays(t *testing.T) {
	dir := attackFiles(t)
	array := func(name, kind string, shape []int, data any) string {
		path := filepath.Join(dir, name)
		if err := writeWhole(path, func(w io.Writer) error { return dataset.WriteNPY(w, kind, shape, data) }); err != nil {
			t.Fatal(err)
		}
		return path
	}
	x := array("x.npy", "<f4", []int{4, 2}, []float32{0.5, 0.1, 0.2, 0.3, 0.9, 0.8, 0.1, 0.7})
	for _, c := range []struct {
		labels []int64
		code   int
		want   string
	}{
		{[]int64{0, 1, 1, 0}, exitOK, ""},
		{[]int64{0, 1, 1, 5}, exitUsage, `the label "5" is none of 0 to 1`},
		{[]int64{0, 1, 1}, exitUsage, "3"},
	} {
		y := array("y.npy", "<i8", []int{len(c.labels)}, c.labels)
		code, _, errs := attackWith(t, "--model", filepath.Join(dir, "two.onnx"), "--data", x, "--labels", y, "--method", "square", "--queries", "20", "--eps", "0.1")
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("labels %v: exit %d, %q, want %q", c.labels, code, errs, c.want)
		}
	}
	nan := array("nan.npy", "<f4", []int{4, 2}, []float32{0.5, 0.1, float32(math.NaN()), 0.3, 0.9, 0.8, 0.1, 0.7})
	y := array("y.npy", "<i8", []int{4}, []int64{0, 1, 1, 0})
	code, _, errs := attackWith(t, "--model", filepath.Join(dir, "two.onnx"), "--data", nan, "--labels", y, "--method", "pgd", "--eps", "0.1")
	if code != exitUsage || !strings.Contains(errs, "nan.npy record 2") || !strings.Contains(errs, `"NaN" is not a finite number`) {
		t.Errorf("exit %d, %q", code, errs)
	}
}
