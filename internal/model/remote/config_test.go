package remote_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"assay/internal/model"
	"assay/internal/model/remote"
)

// TestConfigText: a configuration survives YAML and JSON, durations as text.
func TestConfigText(t *testing.T) {
	const text = `
protocol: v2-rest
url: https://models.example.org/api
model: digits
version: "2"
input: pixels
datatype: UINT8
shape: [8, 8, 1]
layout: NHWC
range: [0, 16]
output: scores
classes: ["0", "1"]
scores: logits
timeout: 1m30s
retry: {attempts: 3, first: 100ms, longest: 10s}
rate: {requests: 2.5, rows: 100}
budget: 10000
max_rows: 32
max_answer: 1048576
auth: {header: X-Api-Key, environment: KEY}
tls: {ca: ca.pem}
`
	var cfg, again remote.Config
	if err := yaml.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	want := remote.Config{
		Protocol: remote.V2REST, URL: "https://models.example.org/api", Model: "digits", Version: "2",
		Input: "pixels", Datatype: "UINT8", Shape: []int64{8, 8, 1}, Layout: model.NHWC, Range: []float64{0, 16},
		Output: "scores", Classes: []string{"0", "1"}, Scores: model.Logits, Timeout: remote.Duration(90 * time.Second),
		Retry: remote.Retry{Attempts: 3, First: remote.Duration(100 * time.Millisecond), Longest: remote.Duration(10 * time.Second)},
		Rate:  remote.Rate{Requests: 2.5, Rows: 100}, Budget: 10000, MaxRows: 32, MaxAnswer: 1 << 20,
		Auth: remote.Auth{Header: "X-Api-Key", Environment: "KEY"}, TLS: remote.TLS{CA: "ca.pem"},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("read as %+v", cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	data, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &again); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("%v: %s", err, data)
	}
	if err := yaml.Unmarshal([]byte("timeout: 30"), &cfg); err == nil || !strings.Contains(err.Error(), "with its unit") {
		t.Errorf("a duration without unit: %v", err)
	}
}

// TestValidate: each fault is found, at its field, and none where there is none.
func TestValidate(t *testing.T) {
	v2 := func() remote.Config { return remote.Config{Protocol: remote.V2REST, URL: "https://h", Model: "m"} }
	free := func() remote.Config {
		return remote.Config{Protocol: remote.JSON, URL: "https://h/p?api-version=1", Shape: []int64{2}, Request: "{{json .Rows}}", Answer: "a[*]"}
	}
	rpc := func() remote.Config { return remote.Config{Protocol: remote.V2GRPC, URL: "grpcs://h:1", Model: "m"} }
	for _, tt := range []struct {
		of     func() remote.Config
		field  string // of the error, none if empty
		change func(*remote.Config)
	}{
		{v2, "", func(*remote.Config) {}},
		{free, "", func(*remote.Config) {}},
		{rpc, "", func(*remote.Config) {}},
		{v2, "", func(c *remote.Config) { c.Auth = remote.Auth{Environment: "E"} }},
		{v2, "", func(c *remote.Config) { c.URL, c.Auth = "http://127.0.0.1:1", remote.Auth{File: "F"} }},
		{v2, "", func(c *remote.Config) { c.URL, c.Auth = "http://h", remote.Auth{File: "F", Cleartext: true} }},
		{v2, "protocol", func(c *remote.Config) { c.Protocol = "v3" }},
		{v2, "url", func(c *remote.Config) { c.URL = "" }},
		{v2, "url", func(c *remote.Config) { c.URL = "h:80" }},
		{v2, "url", func(c *remote.Config) { c.URL = "file:///etc/passwd" }},
		{v2, "url", func(c *remote.Config) { c.URL = "https://user:hunter2@h" }},
		{v2, "url", func(c *remote.Config) { c.URL = "https://h?a=b" }},
		{v2, "url", func(c *remote.Config) { c.URL = "https://h/%zz" }},
		{rpc, "url", func(c *remote.Config) { c.URL = "https://h:1" }},
		{rpc, "url", func(c *remote.Config) { c.URL = "grpc://h" }},
		{rpc, "url", func(c *remote.Config) { c.URL = "grpc://h:1/path" }},
		{v2, "model", func(c *remote.Config) { c.Model = "" }},
		{v2, "request", func(c *remote.Config) { c.Request = "{}" }},
		{v2, "answer", func(c *remote.Config) { c.Answer = "a" }},
		{v2, "signature", func(c *remote.Config) { c.Signature = "s" }},
		{free, "model", func(c *remote.Config) { c.Model = "m" }},
		{free, "input", func(c *remote.Config) { c.Input = "m" }},
		{free, "request", func(c *remote.Config) { c.Request = "" }},
		{free, "request", func(c *remote.Config) { c.Request = "{{" }},
		{free, "answer", func(c *remote.Config) { c.Answer = "" }},
		{free, "answer", func(c *remote.Config) { c.Answer = "a[" }},
		{free, "shape", func(c *remote.Config) { c.Shape = nil }},
		{free, "shape", func(c *remote.Config) { c.Shape = []int64{-1} }},
		{v2, "shape", func(c *remote.Config) { c.Shape = []int64{2, 0} }},
		{v2, "shape", func(c *remote.Config) { c.Shape = []int64{1 << 40, 1 << 40} }},
		{v2, "datatype", func(c *remote.Config) { c.Datatype = "float32" }},
		{v2, "layout", func(c *remote.Config) { c.Layout = "CHW" }},
		{v2, "range", func(c *remote.Config) { c.Range = []float64{1} }},
		{v2, "range", func(c *remote.Config) { c.Range = []float64{1, 0} }},
		{v2, "range", func(c *remote.Config) { c.Range = []float64{0, math.NaN()} }},
		{v2, "scores", func(c *remote.Config) { c.Scores = "score" }},
		{v2, "classes", func(c *remote.Config) { c.Scores = model.Labels }},
		{v2, "classes", func(c *remote.Config) { c.Classes = []string{"a"} }},
		{v2, "classes", func(c *remote.Config) { c.Classes = []string{"a", "b", "a"} }},
		{v2, "timeout", func(c *remote.Config) { c.Timeout = -1 }},
		{v2, "retry.first", func(c *remote.Config) { c.Retry.First = -1 }},
		{v2, "retry.longest", func(c *remote.Config) { c.Retry.Longest = remote.Duration(1000 * time.Hour) }},
		{v2, "retry.attempts", func(c *remote.Config) { c.Retry.Attempts = -1 }},
		{v2, "rate.requests", func(c *remote.Config) { c.Rate.Requests = -1 }},
		{v2, "rate.rows", func(c *remote.Config) { c.Rate.Rows = math.NaN() }},
		{v2, "budget", func(c *remote.Config) { c.Budget = -1 }},
		{v2, "max_rows", func(c *remote.Config) { c.MaxRows = -1 }},
		{v2, "max_answer", func(c *remote.Config) { c.MaxAnswer = 1 << 40 }},
		{v2, "auth", func(c *remote.Config) { c.Auth = remote.Auth{Header: "H"} }},
		{v2, "auth", func(c *remote.Config) { c.Auth = remote.Auth{Environment: "E", File: "F"} }},
		{v2, "auth", func(c *remote.Config) { c.URL, c.Auth = "http://h", remote.Auth{File: "F"} }},
		{v2, "auth.header", func(c *remote.Config) { c.Auth = remote.Auth{Environment: "E", Header: "A B"} }},
		{v2, "auth.prefix", func(c *remote.Config) { c.Auth = remote.Auth{Environment: "E", Prefix: "a\nb"} }},
		{rpc, "auth.header", func(c *remote.Config) { c.Auth = remote.Auth{Environment: "E", Header: "key-bin"} }},
	} {
		cfg := tt.of()
		tt.change(&cfg)
		err := cfg.Validate()
		var f *remote.FieldError
		if tt.field == "" && err != nil || tt.field != "" && (!errors.As(err, &f) || f.Field != tt.field) {
			t.Errorf("%+v: %v, not %q", cfg, err, tt.field)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the url's password is shown: %v", err)
		}
	}
}

func TestMissingSecret(t *testing.T) {
	t.Setenv("REMOTE_EMPTY", " \n")
	t.Setenv("REMOTE_LINES", "two\nlines")
	for _, auth := range []remote.Auth{{Environment: "REMOTE_EMPTY"}, {Environment: "REMOTE_LINES"}, {Environment: "REMOTE_MISSING"}, {File: t.TempDir() + "/none"}, {File: "/dev/zero"}} {
		cfg := remote.Config{Protocol: remote.V2REST, URL: "https://127.0.0.1:1", Model: "m", Auth: auth}
		_, err := remote.Open(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), auth.Environment+auth.File) || strings.Contains(err.Error(), "lines") {
			t.Errorf("%+v: %v", auth, err)
		}
	}
}

// described is a server of a model with such metadata, which answers with a score for
// each of its two classes, and the requests it got.
func described(t *testing.T, metadata string) (url string, bodies *[]string) {
	t.Helper()
	bodies = &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, "%s", metadata)
			return
		}
		var request struct{ Inputs []struct{ Shape []int64 } }
		var body json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		*bodies = append(*bodies, string(body))
		n := int64(1)
		if json.Unmarshal(body, &request) == nil && len(request.Inputs) == 1 {
			n = request.Inputs[0].Shape[0]
		}
		rows := strings.TrimSuffix(strings.Repeat("[1,2],", int(n)), ",")
		fmt.Fprintf(w, `{"outputs":[{"name":"y","shape":[%d,2],"data":[%s]}],"predictions":[%s]}`, n, rows, rows)
	}))
	t.Cleanup(s.Close)
	return s.URL, bodies
}

// TestContradictions: where metadata and configuration differ, the error has both.
func TestContradictions(t *testing.T) {
	const v2 = `{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,3,-1]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]},{"name":"z","datatype":"BYTES","shape":[-1,1]}]}`
	right := remote.Config{Protocol: remote.V2REST, Model: "m", Shape: []int64{3, 5}, Output: "y"}
	for _, tt := range []struct {
		metadata string
		wrong    []string // parts of the error; none where there is none
		change   func(*remote.Config)
	}{
		{v2, nil, func(*remote.Config) {}},
		{v2, []string{`"w"`, `"x"`}, func(c *remote.Config) { c.Input = "w" }},
		{v2, []string{"[4 5]", "[-1 3 -1]"}, func(c *remote.Config) { c.Shape = []int64{4, 5} }},
		{v2, []string{"[15]", "[-1 3 -1]"}, func(c *remote.Config) { c.Shape = []int64{15} }},
		{v2, []string{"state it in shape"}, func(c *remote.Config) { c.Shape = nil }},
		{v2, []string{"FP64", "FP32"}, func(c *remote.Config) { c.Datatype = "FP64" }},
		{v2, []string{`"v"`, `"y", "z"`}, func(c *remote.Config) { c.Output = "v" }},
		{v2, []string{"name one in output", `"y", "z"`}, func(c *remote.Config) { c.Output = "" }},
		{v2, []string{"3 classes", "scores for 2"}, func(c *remote.Config) { c.Classes = []string{"a", "b", "c"} }},
		{v2, []string{"labels are 1 value", "2"}, func(c *remote.Config) { c.Scores, c.Classes = model.Labels, []string{"a", "b"} }},
		{v2, []string{"probabilities", "BYTES"}, func(c *remote.Config) { c.Output, c.Scores = "z", model.Probabilities }},
		{`{"inputs":[{"name":"a"},{"name":"b"}]}`, []string{`"a", "b"`}, func(*remote.Config) {}},
		{`{"inputs":[{"name":"a"},{"name":"b"}]}`, []string{"2 inputs"}, func(c *remote.Config) { c.Input = "a" }},
		{`{"inputs":[{"name":"a","datatype":"BYTES"}]}`, []string{"BYTES", "FP32"}, func(*remote.Config) {}},
		{`{"inputs":[{"name":"a","shape":[-1,1099511627776]}]}`, []string{"more than can be sent"}, func(c *remote.Config) { c.Shape = nil }},
		{`{"inputs":[{"name":"a","shape":[100,3,5]}]}`, []string{"100 rows", "64"}, func(*remote.Config) {}},
		{`{"inputs":"a"}`, []string{"metadata"}, func(*remote.Config) {}},
		{`{}`, []string{"state it in input"}, func(*remote.Config) {}},
	} {
		cfg := right
		cfg.URL, _ = described(t, tt.metadata)
		tt.change(&cfg)
		_, err := remote.Open(t.Context(), cfg)
		if (err == nil) != (tt.wrong == nil) {
			t.Errorf("%s, %+v: %v", tt.metadata, cfg, err)
			continue
		}
		for _, part := range tt.wrong {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v\nwithout %q", tt.metadata, err, part)
			}
		}
	}
}

// TestRequests: the bodies of requests, as the protocols' specifications write them.
func TestRequests(t *testing.T) {
	const serving = `{"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"x":{"dtype":"DT_UINT8","tensor_shape":{"dim":[{"size":"-1"},{"size":"2"},{"size":"1"}]}}},"outputs":{"y":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":"2"}]}}}}}}}}`
	v2 := func(datatype string, batch int) string {
		return fmt.Sprintf(`{"inputs":[{"name":"x","datatype":%q,"shape":[%d,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[%[2]d,2]}]}`, datatype, batch)
	}
	for _, tt := range []struct {
		protocol remote.Protocol
		metadata string
		want     string
		change   func(*remote.Config)
	}{
		{remote.V2REST, v2("FP32", -1), `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[0.1,300.7]}],"outputs":[{"name":"y"}]}`, nil},
		{remote.V2REST, v2("FP64", -1), `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[0.1,300.7]}],"outputs":[{"name":"y"}]}`, nil},
		{remote.V2REST, v2("UINT8", -1), `{"inputs":[{"name":"x","shape":[1,2],"datatype":"UINT8","data":[0,255]}],"outputs":[{"name":"y"}]}`, nil},
		{remote.V2REST, v2("INT64", -1), `{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT64","data":[0,301]}],"outputs":[{"name":"y"}]}`, nil},
		{remote.V2REST, v2("INT64", 2), `{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT64","data":[0,301,0,0]}],"outputs":[{"name":"y"}]}`, nil},
		{remote.TensorFlowServing, serving, `{"instances":[[[0],[255]]]}`, nil},
		{remote.TensorFlowServing, serving, `{"signature_name":"serving_default","instances":[[[0],[255]]]}`, func(c *remote.Config) { c.Signature = "serving_default" }},
		{remote.JSON, "", `[[0.1,300.7]]`, nil},
		{remote.JSON, "", `[[[0.1],[300.7]]]`, func(c *remote.Config) { c.Shape = []int64{2, 1} }},
		{remote.JSON, "", `{"n": 1, "rows": [{"a": 0.1, "b": 300.7}]}`, func(c *remote.Config) {
			c.Request = `{"n": {{.Count}}, "rows": [{{range $i, $row := .Rows}}{{if $i}},{{end}}{"a": {{index $row 0}}, "b": {{json (index . 1)}}}{{end}}]}`
		}},
		{remote.JSON, "", `[[0,255]]`, func(c *remote.Config) { c.Datatype = "UINT8" }},
	} {
		url, bodies := described(t, tt.metadata)
		cfg := remote.Config{Protocol: tt.protocol, URL: url, Model: "m"}
		if tt.protocol == remote.JSON {
			cfg = withoutMetadata(url)[remote.JSON]
			cfg.Answer = "predictions[*]"
		}
		if tt.change != nil {
			tt.change(&cfg)
		}
		c := open(t, cfg)
		if got := predict(t, c, []float64{0.1, 300.7}); !slices.Equal(got, []float64{1, 2}) {
			t.Errorf("%v", got)
		}
		if got := (*bodies)[1]; got != tt.want {
			t.Errorf("asked by\n%s, not\n%s", got, tt.want)
		}
	}
}

// TestFixedBatch: a model that takes a number of rows gets as many, and rows that fill
// up do not count.
func TestFixedBatch(t *testing.T) {
	url, bodies := described(t, `{"inputs":[{"name":"x","datatype":"FP32","shape":[4,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[4,2]}]}`)
	c := open(t, remote.Config{Protocol: remote.V2REST, URL: url, Model: "m"})
	if d := c.Describe(); d.Batch != 4 {
		t.Errorf("%+v", d)
	}
	if got := predict(t, c, make([]float64, 12)); !slices.Equal(got, slices.Repeat([]float64{1, 2}, 6)) || len(*bodies) != 3 || c.Queries() != 7 {
		t.Errorf("%v by %d requests, %d queries", got, len(*bodies), c.Queries())
	}
}

// TestTemplates: what a template may not do is found before anything is asked, or by
// the first row.
func TestTemplates(t *testing.T) {
	url, _ := described(t, "")
	for _, request := range []string{
		`{{define "a"}}{{end}}{{json .Rows}}`, `{{template "request" .}}`, `{{block "a" .}}{{end}}`,
		`{{printf "%d" 1}}`, `{{print 1}}`, `{{html .Rows}}`, `{{call .Rows}}`, `{{json (print 1)}}`,
		`{{range 1000000000}}{{end}}`, `{{$n := 1000000000}}{{range $n}}{{end}}`, `{{with 1000000000}}{{range .}}{{end}}{{end}}`,
		`{{range and 1 1000000000}}{{end}}`, `{{range (and 1 1000000000)}}{{end}}`, `{{range .Rows | len}}{{end}}`,
		`{{range .Rows}}{{range $.Rows}}{{range $.Rows}}{{range $.Rows}}{{end}}{{end}}{{end}}{{end}}`,
		`{{.Row}}`, `{{.Rows.Len}}`, `{{index .Rows 7}}`, `{{json .}`, `{"a": {{.Rows}}}`, `{"a": `,
	} {
		cfg := withoutMetadata(url)[remote.JSON]
		cfg.Answer, cfg.Request = "predictions[*]", request
		if _, err := remote.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "request") {
			t.Errorf("%s: %v", request, err)
		}
	}
}
