package remote_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"assay/internal/model"
	"assay/internal/model/modeltest"
	"assay/internal/model/ort"
	"assay/internal/model/remote"
	"assay/internal/model/remote/remotetest"
	"assay/internal/train/network"
	"assay/onnx"
)

func TestMain(m *testing.M) {
	remotetest.MainIfStarted()
	os.Exit(m.Run())
}

// networks are those that the server process has, by name.
var networks = map[string]func() *onnx.Model{
	"tabular": func() *onnx.Model { return network.MLP(6, []int{16}, 3, 1) },
	"image":   func() *onnx.Model { return network.CNN(1, 8, 8, []int{8, 8}, 4, 2) },
}

// start gives a server process with all networks.
func start(t *testing.T, secret string) *remotetest.Process {
	t.Helper()
	files := map[string]string{}
	for name, build := range networks {
		data, err := build().Encode()
		if err != nil {
			t.Fatal(err)
		}
		files[name] = filepath.Join(t.TempDir(), name+".onnx")
		if err := os.WriteFile(files[name], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return remotetest.Start(t, files, secret)
}

// local runs a network on this machine.
func local(t *testing.T, name string) model.Classifier {
	t.Helper()
	c, err := ort.NewClassifier(context.Background(), networks[name](), ort.ClassifierOptions{Options: ort.Options{Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// configs are the ways to ask the server for a network.
func configs(p *remotetest.Process, name string, d model.Description) map[string]remote.Config {
	score := remote.Config{
		Protocol: remote.JSON, URL: p.HTTP + "/score/" + name, Shape: d.Shape, Classes: d.Classes,
		Request: `{"rows": {{json .Rows}}}`,
	}
	list, byClass, labels, single := score, score, score, score
	list.Answer, list.Scores = "results[*].scores", model.Logits
	byClass.Answer, byClass.Scores = "results[*].by_class", model.Logits
	labels.Answer, labels.Scores = "results[*].label", model.Labels
	single.Answer, single.Scores, single.MaxRows = "results[0].scores", model.Logits, 1
	return map[string]remote.Config{
		"v2 REST":                     {Protocol: remote.V2REST, URL: p.HTTP, Model: name, Scores: model.Logits},
		"v2 REST, version":            {Protocol: remote.V2REST, URL: p.HTTP + "/", Model: name, Version: "1", Scores: model.Logits, Input: remotetest.Input, Output: remotetest.Output},
		"v2 gRPC":                     {Protocol: remote.V2GRPC, URL: p.GRPC, Model: name, Scores: model.Logits},
		"TensorFlow Serving":          {Protocol: remote.TensorFlowServing, URL: p.HTTP, Model: name, Scores: model.Logits},
		"TensorFlow Serving, version": {Protocol: remote.TensorFlowServing, URL: p.HTTP, Model: name, Version: "1", Signature: "serving_default", Scores: model.Logits, MaxRows: 7},
		"JSON, lists":                 list,
		"JSON, by class":              byClass,
		"JSON, labels":                labels,
		"JSON, one row a request":     single,
	}
}

func open(t *testing.T, cfg remote.Config) *remote.Classifier {
	t.Helper()
	c, err := remote.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func randomRows(n, size int) []float64 {
	rng := rand.New(rand.NewPCG(3, 4))
	rows := make([]float64, n*size)
	for i := range rows {
		rows[i] = rng.NormFloat64()
	}
	return rows
}

func predict(t *testing.T, c model.Classifier, rows []float64) []float64 {
	t.Helper()
	d := c.Describe()
	scores := make([]float64, len(rows)/d.RowSize()*len(d.Classes))
	if err := c.Predict(context.Background(), rows, scores); err != nil {
		t.Fatal(err)
	}
	return scores
}

// TestScores compares with the same model on this machine, on both networks and by all
// protocols, and holds all to what the port promises.
func TestScores(t *testing.T) {
	p := start(t, "")
	for name := range networks {
		here := local(t, name)
		d := here.Describe()
		rows := randomRows(5, d.RowSize())
		want := predict(t, here, rows)
		for protocol, cfg := range configs(p, name, d) {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				c := open(t, cfg)
				if got := c.Describe(); !slices.Equal(got.Shape, d.Shape) || got.Layout != d.Layout || !slices.Equal(got.Classes, d.Classes) {
					t.Errorf("described as %+v, not %+v", got, d)
				}
				compare(t, c.Describe(), predict(t, c, rows), want)
				modeltest.Run(t, func(t *testing.T) model.Classifier { return open(t, cfg) }, rows)
			})
		}
	}
}

// compare holds scores to those of the model on this machine: equal to the rounding of
// float32, which is relative to the size of the sums; or the label to their largest.
func compare(t *testing.T, d model.Description, got, want []float64) {
	t.Helper()
	const rounding = 1e-6
	for i := range want {
		if row := i / len(d.Classes) * len(d.Classes); d.Output == model.Labels {
			best := row + slices.Index(want[row:row+len(d.Classes)], slices.Max(want[row:row+len(d.Classes)]))
			if (got[i] == 1) != (i == best) {
				t.Errorf("score %d is %g, and %d is the best", i, got[i], best)
			}
		} else if !(math.Abs(got[i]-want[i]) <= rounding*max(1, math.Abs(want[i]))) {
			t.Errorf("score %d is %g, not %g", i, got[i], want[i])
		}
	}
}

func TestManyRowsSideBySide(t *testing.T) {
	p := start(t, "")
	here := local(t, "tabular")
	for name, cfg := range configs(p, "tabular", here.Describe()) {
		c := open(t, cfg)
		var wg sync.WaitGroup
		for n := range 6 {
			rows := randomRows(n*41, 6)
			want := make([]float64, n*41*3)
			if err := here.Predict(t.Context(), rows, want); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				got := make([]float64, n*41*3)
				if err := c.Predict(t.Context(), rows, got); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				compare(t, c.Describe(), got, want)
			})
		}
		wg.Wait()
		if want := int64(1 + 41*(0+1+2+3+4+5)); c.Queries() != want {
			t.Errorf("%s: %d queries are counted, not %d", name, c.Queries(), want)
		}
	}
}

// TestRounding: numbers go to the model as float32, also such as have none that is equal.
func TestRounding(t *testing.T) {
	p := start(t, "")
	here := local(t, "tabular")
	rows := []float64{0.1, 1e-30, -1.0 / 3, 123456.789, 1e-7, math.Copysign(0, -1), 16777217, 0.30000000000000004, 1, 2, 3, 4}
	want := predict(t, here, rows)
	for name, cfg := range configs(p, "tabular", here.Describe()) {
		c := open(t, cfg)
		t.Run(name, func(t *testing.T) { compare(t, c.Describe(), predict(t, c, rows), want) })
	}
}
