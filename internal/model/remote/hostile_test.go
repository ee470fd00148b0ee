package remote_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"assay/internal/model"
	"assay/internal/model/remote"
	"assay/internal/model/remote/internal/inference"
)

// answering is a server that answers each POST with a body, and has no metadata.
func answering(t *testing.T, body func(http.ResponseWriter)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		body(w)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// withoutMetadata are configurations that need none, of a model of 2 columns.
func withoutMetadata(url string) map[remote.Protocol]remote.Config {
	return map[remote.Protocol]remote.Config{
		remote.V2REST:            {Protocol: remote.V2REST, URL: url, Model: "m", Input: "x", Shape: []int64{2}},
		remote.TensorFlowServing: {Protocol: remote.TensorFlowServing, URL: url, Model: "m", Shape: []int64{2}},
		remote.JSON:              {Protocol: remote.JSON, URL: url, Shape: []int64{2}, Request: "{{json .Rows}}", Answer: "rows[*]"},
	}
}

// TestAnswers: what one row's answer may and may not be, in Open.
func TestAnswers(t *testing.T) {
	v2 := func(shape, data string) string {
		return `{"outputs":[{"name":"y","datatype":"FP32","shape":` + shape + `,"data":` + data + `}]}`
	}
	labels := func(c *remote.Config) { c.Scores, c.Classes = model.Labels, []string{"cat", "dog"} }
	probabilities := func(c *remote.Config) { c.Scores = model.Probabilities }
	for _, tt := range []struct {
		protocol remote.Protocol
		change   func(*remote.Config)
		body     string
		wrong    string // part of the error; none if empty
		classes  int
		output   model.Output
	}{
		{remote.V2REST, nil, v2("[1,3]", "[1,2,-3]"), "", 3, model.Logits},
		{remote.V2REST, nil, v2("[1,3]", "[[1,2,-3]]"), "", 3, model.Logits},
		{remote.V2REST, nil, v2("[1,2]", "[0.25,0.75]"), "", 2, model.Probabilities},
		{remote.V2REST, nil, v2("[1]", "[0.7]"), "", 2, model.Logits},
		{remote.V2REST, probabilities, v2("[1,1]", "[0.7]"), "", 2, model.Probabilities},
		{remote.V2REST, labels, v2("[1]", `["dog"]`), "", 2, model.Labels},
		{remote.V2REST, labels, v2("[1]", `[1]`), "", 2, model.Labels},
		{remote.V2REST, labels, v2("[1]", `["cow"]`), `"cow"`, 0, ""},
		{remote.V2REST, labels, v2("[1]", `[2]`), `"2"`, 0, ""},
		{remote.V2REST, labels, v2("[1,2]", `[0.1,0.9]`), "labels are 1 value", 0, ""},
		{remote.V2REST, nil, v2("[1]", `["dog"]`), "state in classes", 0, ""},
		{remote.V2REST, nil, v2("[1,3]", "[1,2]"), "do not fit its shape", 0, ""},
		{remote.V2REST, nil, v2("[1,3]", "[1,2,3,4]"), "do not fit its shape", 0, ""},
		{remote.V2REST, nil, v2("[2,2]", "[1,2,3,4]"), "not one row for each", 0, ""},
		{remote.V2REST, nil, v2("[1,-3]", "[1,2,3]"), "shape", 0, ""},
		{remote.V2REST, nil, v2("[1,1.5]", "[1,2,3]"), "size 1.5", 0, ""},
		{remote.V2REST, nil, v2("[4294967296,4294967296]", "[1,2]"), "shape", 0, ""},
		{remote.V2REST, nil, v2("[1,0]", "[]"), "0 values", 0, ""},
		{remote.V2REST, nil, v2("[1,2]", `[1,"2"]`), `the text "2"`, 0, ""},
		{remote.V2REST, nil, v2("[1,2]", "[1,null]"), "outputs[0].data[1] is null", 0, ""},
		{remote.V2REST, nil, v2("[1,2]", "[1,NaN]"), "not JSON", 0, ""},
		{remote.V2REST, nil, v2("[1,2]", "[1,1e999]"), "out of range", 0, ""},
		{remote.V2REST, nil, v2("[1,2]", `[1,"Infinity"]`), "the text", 0, ""},
		{remote.V2REST, probabilities, v2("[1,2]", "[1,2]"), "no probability", 0, ""},
		{remote.V2REST, nil, `{"outputs":[{"name":"a"},{"name":"b"}]}`, "name the one", 0, ""},
		{remote.V2REST, func(c *remote.Config) { c.Output = "c" }, `{"outputs":[{"name":"a"},{"name":"b"}]}`, `not "c"`, 0, ""},
		{remote.V2REST, nil, `{"outputs":[{"name":"a"}]}`, `no member "shape"`, 0, ""},
		{remote.V2REST, nil, `{"outputs":[{"name":"a","shape":[1,2]}]}`, `no member "data"`, 0, ""},
		{remote.V2REST, nil, `{"outputs":{"a":1}}`, "an object where the path goes on with [*]", 0, ""},
		{remote.V2REST, nil, `{"error":"no"}`, `no member "outputs"`, 0, ""},
		{remote.V2REST, nil, v2("[1,2]", "[1,2]") + "x", "not JSON", 0, ""},
		{remote.TensorFlowServing, nil, `{"predictions":[[1,2,3]]}`, "", 3, model.Logits},
		{remote.TensorFlowServing, nil, `{"predictions":[3]}`, "", 2, model.Logits},
		{remote.TensorFlowServing, func(c *remote.Config) { c.Output = "p" }, `{"predictions":[{"q":[1],"p":[0.5,0.5]}]}`, "", 2, model.Probabilities},
		{remote.TensorFlowServing, func(c *remote.Config) { c.Output = "p" }, `{"predictions":[{"p":[1,2],"p":[3,4]}]}`, "two members", 0, ""},
		{remote.TensorFlowServing, nil, `{"predictions":[[1,2],[3,4]]}`, "not one row for each", 0, ""},
		{remote.TensorFlowServing, nil, `{"predictions":[]}`, "not one row for each", 0, ""},
		{remote.TensorFlowServing, nil, `{"predictions":[[1,[2]]]}`, "is in 3 arrays where others are in 2", 0, ""},
		{remote.TensorFlowServing, nil, `{"predictions":[{"p":[1,2]}]}`, "is an object", 0, ""},
		{remote.TensorFlowServing, func(c *remote.Config) { c.Classes = []string{"a", "b", "c"} }, `{"predictions":[[1,2]]}`, "3 classes, and there are scores for 2", 0, ""},
		{remote.JSON, nil, `{"rows":[[1,2,3]]}`, "", 3, model.Logits},
		{remote.JSON, nil, `{"rows":[1,2,3]}`, "not one row for each", 0, ""},
		{remote.JSON, func(c *remote.Config) { c.Answer, c.MaxRows = "$", 1 }, `[1,2,3]`, "", 3, model.Logits},
		{remote.JSON, func(c *remote.Config) { c.Answer, c.MaxRows = "$", 1 }, `[[1,2,3]]`, "", 3, model.Logits},
		{remote.JSON, func(c *remote.Config) { labels(c); c.Answer, c.MaxRows = "label", 1 }, `{"label":"cat"}`, "", 2, model.Labels},
		{remote.JSON, func(c *remote.Config) { c.Scores, c.Classes = model.Labels, []string{"false", "true"} }, `{"rows":[true]}`, "", 2, model.Labels},
		{remote.JSON, func(c *remote.Config) { c.Classes = []string{"a", "b"} }, `{"rows":[{"b":2,"a":1}]}`, "", 2, model.Logits},
		{remote.JSON, func(c *remote.Config) { c.Classes = []string{"a", "b"} }, `{"rows":[{"b":2}]}`, `no number for the class "a"`, 0, ""},
		{remote.JSON, func(c *remote.Config) { c.Classes = []string{"a", "b"} }, `{"rows":[{"b":2,"a":1,"c":3}]}`, `"c"`, 0, ""},
		{remote.JSON, func(c *remote.Config) { c.Classes = []string{"a", "b"} }, `{"rows":[{"b":2,"a":"1"}]}`, `no number in range for the class "a"`, 0, ""},
		{remote.JSON, nil, `{"rows":[` + strings.Repeat("[", 100) + "1" + strings.Repeat("]", 101) + `}`, "deeper than 16", 0, ""},
		{remote.JSON, nil, strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "nested too deep", 0, ""},
		{remote.JSON, nil, strings.Repeat(`{"rows":`, 9000) + "1" + strings.Repeat("}", 9000), "an object where", 0, ""},
	} {
		cfg := withoutMetadata(answering(t, func(w http.ResponseWriter) { fmt.Fprintf(w, "%s", tt.body) }))[tt.protocol]
		if tt.change != nil {
			tt.change(&cfg)
		}
		c, err := remote.Open(t.Context(), cfg)
		if tt.wrong != "" {
			var e *remote.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.wrong) || len(err.Error()) > 1000 {
				t.Errorf("%s, %.60s: %v\nwithout %q", tt.protocol, tt.body, err, tt.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, %.60s: %v", tt.protocol, tt.body, err)
			continue
		}
		if d := c.Describe(); len(d.Classes) != tt.classes || d.Output != tt.output {
			t.Errorf("%s, %.60s: %+v", tt.protocol, tt.body, d)
		}
	}
}

// TestOneColumn: one score is that of the second class, a probability with its
// complement, a logit as its lead.
func TestOneColumn(t *testing.T) {
	url := answering(t, func(w http.ResponseWriter) { fmt.Fprintf(w, `{"predictions":[[0.75]]}`) })
	for output, want := range map[model.Output][]float64{model.Probabilities: {0.25, 0.75}, model.Logits: {0, 0.75}} {
		cfg := withoutMetadata(url)[remote.TensorFlowServing]
		cfg.Scores = output
		if got := predict(t, open(t, cfg), []float64{1, 2}); !slices.Equal(got, want) {
			t.Errorf("%s: %v", output, got)
		}
	}
}

// TestNotFinite: what JSON has no number for is refused before anything is asked.
func TestNotFinite(t *testing.T) {
	url := answering(t, func(w http.ResponseWriter) { fmt.Fprintf(w, `{"predictions":[[1,2]],"rows":[[1,2]]}`) })
	for protocol, largest := range map[remote.Protocol]float64{remote.TensorFlowServing: math.MaxFloat32, remote.JSON: math.MaxFloat64} {
		c := open(t, withoutMetadata(url)[protocol])
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 2 * largest} {
			err := c.Predict(t.Context(), []float64{1, v}, make([]float64, 2))
			if err == nil || !strings.Contains(err.Error(), "value 1 of row 0") || c.Queries() != 1 {
				t.Errorf("%s, %g: %v", protocol, v, err)
			}
		}
		if err := c.Predict(t.Context(), []float64{1, largest}, make([]float64, 2)); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestMemory: what a server sends without end is not kept, nor is much made of little.
func TestMemory(t *testing.T) {
	endless := func(w http.ResponseWriter) {
		chunk := []byte(strings.Repeat("[[[[{},{},", 1<<12))
		for range 1 << 14 { // 650 MB
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	repeated := func(open, part, end string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			fmt.Fprintf(w, "%s", open+strings.Repeat(part+",", (15<<20)/(len(part)+1))+part+end)
		}
	}
	for name, body := range map[string]func(http.ResponseWriter){
		"endless":       endless,
		"empty objects": repeated(`{"outputs":[`, `{}`, `]}`),
		"members":       repeated(`{"outputs":[{`, `"a":1`, `}]}`),
		"predictions":   repeated(`{"predictions":[`, `[]`, `]}`),
		"numbers":       repeated(`{"predictions":[[`, `1`, `]]}`),
	} {
		for protocol, cfg := range withoutMetadata(answering(t, body)) {
			cfg.Retry.Attempts = 1
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := remote.Open(t.Context(), cfg)
			runtime.ReadMemStats(&after)
			var e *remote.Error
			if !errors.As(err, &e) {
				t.Errorf("%s, %s: %v", protocol, name, err)
			}
			// All that was ever allocated: the server's own body, and reading it into slices
			// that grow, make some ten times the limit.
			if n := after.TotalAlloc - before.TotalAlloc; n > 400<<20 {
				t.Errorf("%s, %s: %d MB were allocated", protocol, name, n>>20)
			}
		}
	}
}

// TestSlow: bytes that come slowly do not extend the time of a request.
func TestSlow(t *testing.T) {
	stop := make(chan struct{})
	url := answering(t, func(w http.ResponseWriter) {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		}
	})
	t.Cleanup(func() { close(stop) })
	for protocol, cfg := range withoutMetadata(url) {
		cfg.Timeout = remote.Duration(200 * time.Millisecond)
		if _, err := remote.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "within 200ms") {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestBudgetOfOpen: even the first row is within the budget, and counted.
func TestBudgetOfOpen(t *testing.T) {
	url := answering(t, func(w http.ResponseWriter) { fmt.Fprintf(w, `{"predictions":[[1,2]]}`) })
	cfg := withoutMetadata(url)[remote.TensorFlowServing]
	cfg.Budget = 1
	c := open(t, cfg)
	var b *remote.BudgetError
	if err := c.Predict(t.Context(), []float64{1, 2}, make([]float64, 2)); !errors.As(err, &b) || c.Queries() != 1 {
		t.Errorf("%v after %d", err, c.Queries())
	}
}

// hostileRPC answers with any message.
type hostileRPC struct {
	inference.UnimplementedGRPCInferenceServiceServer
	answer *inference.ModelInferResponse
}

func (h *hostileRPC) ModelInfer(context.Context, *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	return h.answer, nil
}

func TestHostileRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostileRPC{}
	server := grpc.NewServer()
	inference.RegisterGRPCInferenceServiceServer(server, h)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	type tensor = inference.ModelInferResponse_InferOutputTensor
	one := func(datatype string, shape []int64, c *inference.InferTensorContents) *inference.ModelInferResponse {
		return &inference.ModelInferResponse{Outputs: []*tensor{{Name: "y", Datatype: datatype, Shape: shape, Contents: c}}}
	}
	raw := func(datatype string, shape []int64, data ...byte) *inference.ModelInferResponse {
		m := one(datatype, shape, nil)
		m.RawOutputContents = [][]byte{data}
		return m
	}
	many := &inference.ModelInferResponse{}
	for range 1 << 16 {
		many.Outputs = append(many.Outputs, &tensor{})
	}
	nan := []byte{0, 0, 0xc0, 0x7f}
	for name, tt := range map[string]struct {
		answer *inference.ModelInferResponse
		wrong  string
	}{
		"numbers":       {one("FP32", []int64{1, 2}, &inference.InferTensorContents{Fp32Contents: []float32{1, 2}}), ""},
		"raw numbers":   {raw("FP32", []int64{1, 2}, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40), ""},
		"raw halves":    {raw("FP16", []int64{1, 2}, 0, 0x3c, 0, 0x40), ""},
		"raw integers":  {raw("INT8", []int64{1, 2}, 1, 2), ""},
		"nothing":       {&inference.ModelInferResponse{}, "outputs []"},
		"no contents":   {one("FP32", []int64{1, 2}, nil), "do not fit its shape"},
		"other field":   {one("FP32", []int64{1, 2}, &inference.InferTensorContents{Fp64Contents: []float64{1, 2}}), "do not fit its shape"},
		"unknown type":  {one("FP31", []int64{1, 2}, nil), `"FP31"`},
		"NaN":           {raw("FP32", []int64{1, 2}, append(nan, nan...)...), "NaN"},
		"half a number": {raw("FP32", []int64{1, 2}, 0, 0, 0, 0, 0), "no whole values"},
		"negative":      {raw("FP32", []int64{-1, -2}, 0, 0, 0, 0, 0, 0, 0, 0), "shape"},
		"dimensions":    {raw("FP32", make([]int64, 1000)), "dimensions"},
		"short text":    {raw("BYTES", []int64{1}, 0xff, 0xff, 0xff, 0xff), "ends too early"},
		"text":          {raw("BYTES", []int64{1}, 1, 0, 0, 0, 'a'), "state in classes"},
		"outputs":       {many, "more than 4096 fields"},
		"too long":      {raw("FP32", []int64{1, 2}, make([]byte, 17<<20)...), "max_answer"},
	} {
		h.answer = tt.answer
		cfg := remote.Config{Protocol: remote.V2GRPC, URL: "grpc://" + listener.Addr().String(), Model: "m", Input: "x", Shape: []int64{2}, Clock: newClock()}
		c, err := remote.Open(t.Context(), cfg)
		if tt.wrong != "" {
			var e *remote.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v\nwithout %q", name, err, tt.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := predict(t, c, []float64{3, 4}); !slices.Equal(got, []float64{1, 2}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestTLS: a server is known by the authority that the configuration names, and by no
// other.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fmt.Fprintf(w, `{"predictions":[[1,2]]}`)
		} else {
			http.NotFound(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := withoutMetadata(s.URL)[remote.TensorFlowServing]
	clock := newClock()
	cfg.Clock = clock
	if _, err := remote.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "tls.ca") || len(clock.slept) > 0 {
		t.Errorf("an unknown authority: %v", err)
	}
	cfg.TLS.CA = filepath.Join(t.TempDir(), "ca.pem")
	if _, err := remote.Open(t.Context(), cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(cfg.TLS.CA, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("a file without certificate: %v", err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(cfg.TLS.CA, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	cfg.URL = strings.Replace(cfg.URL, "https", "http", 1)
	if _, err := remote.Open(t.Context(), cfg); err == nil {
		t.Error("without TLS the server answers as well")
	}
}
