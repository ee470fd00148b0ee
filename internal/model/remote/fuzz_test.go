package remote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"assay/internal/model/remote/internal/inference"
)

const fuzzLimit = 1000

// whole checks what every parser promises: no more values than were asked for, and a
// check that finds out whether they fit.
func whole(t *testing.T, a answer, limit int) {
	t.Helper()
	if n := len(a.numbers) + len(a.texts); n > limit || len(a.numbers) > 0 && len(a.texts) > 0 {
		t.Errorf("%d numbers and %d texts, and %d were asked for", len(a.numbers), len(a.texts), limit)
	}
	if err := a.check(2); err == nil && (len(a.numbers)+len(a.texts))%2 != 0 {
		t.Errorf("%+v has two whole rows", a)
	}
}

func FuzzV2(f *testing.F) {
	// The first is the example of the specification.
	f.Add([]byte(`{"id":"42","outputs":[{"name":"output0","shape":[3,2],"datatype":"FP32","data":[1.0,1.1,2.0,2.1,3.0,3.1]}]}`), "")
	f.Add([]byte(`{"outputs":[{"name":"a","shape":[2]},{"shape":[2,1],"data":[["x"],["\u00e9"]],"name":"b"}]}`), "b")
	f.Add([]byte(`{"outputs":[{"name":"a","shape":[-1,1e300],"data":[1,"NaN",null]}]}`), "a")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		if a, err := parseV2(body, name, fuzzLimit); err == nil {
			whole(t, a, fuzzLimit)
		}
	})
}

func FuzzServing(f *testing.F) {
	f.Add([]byte(`{"predictions":[[0.1,0.9],[0.7,0.3]]}`), "")
	f.Add([]byte(`{"predictions":[{"p":[0.1,0.9],"q":0},{"q":0,"p":[1,2]}]}`), "p")
	f.Add([]byte(`{"error":"no"}`), "p")
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		if a, err := parseServing(body, name, fuzzLimit); err == nil {
			whole(t, a, fuzzLimit)
		}
	})
}

// FuzzJSON compares with what encoding/json makes of the same, where the path has no
// star and the document no member twice.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"outputs":[{"scores":[1,2,3]}]}`), "outputs[0].scores")
	f.Add([]byte(`{"predictions":[{"label":"a"},{"label":"b"}]}`), "predictions[*].label")
	f.Add([]byte(`[{"P(1)":{"a":1,"b":2}}]`), `$[*]["P(1)"]`)
	f.Add([]byte(` [ [ 1e2 , -0.5 ] , [ 3 , 4E-1 ] ] `), "$")
	f.Add([]byte(`{"a":{"b":[{"c":true}]}}`), "a.b[0].c")
	f.Fuzz(func(t *testing.T, body []byte, text string) {
		p, err := parsePath(text)
		if err != nil {
			return
		}
		if again, err := parsePath("$" + printed(p)); err != nil || !reflect.DeepEqual(again, p) && len(p) > 0 {
			t.Errorf("%q is read as %v, and that as %v: %v", text, p, again, err)
		}
		a, err := parseJSONAnswer(body, p, []string{"a", "b"}, false, fuzzLimit)
		if err != nil {
			return
		}
		whole(t, a, fuzzLimit)
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("read, though %v", err)
		}
		if want, ok := follow(v, p); ok && len(a.numbers) > 0 {
			if got, _ := json.Marshal(a.numbers); string(got) != want {
				t.Errorf("%s at %q: %s, not %s", body, text, got, want)
			}
		}
	})
}

func printed(p path) string {
	var b strings.Builder
	for _, s := range p {
		b.WriteString(s.String())
	}
	return b.String()
}

// follow gives the numbers at a path without stars, one after the other.
func follow(v any, p path) (string, bool) {
	for _, s := range p {
		switch s.kind {
		case member:
			object, ok := v.(map[string]any)
			if !ok {
				return "", false
			}
			v = object[s.name]
		case element:
			list, ok := v.([]any)
			if !ok || s.index >= len(list) {
				return "", false
			}
			v = list[s.index]
		default:
			return "", false
		}
	}
	flat, ok := flatten([]float64{}, v)
	text, _ := json.Marshal(flat)
	return string(text), ok
}

func flatten(to []float64, v any) ([]float64, bool) {
	switch v := v.(type) {
	case float64:
		return append(to, v), true
	case []any:
		for _, inner := range v {
			var ok bool
			if to, ok = flatten(to, inner); !ok {
				return nil, false
			}
		}
		return to, true
	}
	return nil, false
}

func FuzzInfer(f *testing.F) {
	for _, m := range []*inference.ModelInferResponse{
		{Outputs: []*inference.ModelInferResponse_InferOutputTensor{{
			Name: "y", Datatype: "FP32", Shape: []int64{2, 2}, Contents: &inference.InferTensorContents{Fp32Contents: []float32{1, 2, 3, 4}},
		}}},
		{Outputs: []*inference.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "FP16", Shape: []int64{2, 1}}}, RawOutputContents: [][]byte{{0, 0x3c, 0, 0}}},
		{Outputs: []*inference.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "BYTES", Shape: []int64{2}}}, RawOutputContents: [][]byte{{1, 0, 0, 0, 'a', 0, 0, 0, 0}}},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "y")
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		var m inference.ModelInferResponse
		if err := (boundedCodec{}).Unmarshal(data, &m); err != nil {
			return
		}
		if a, err := readInfer(&m, name, fuzzLimit); err == nil {
			whole(t, a, fuzzLimit)
		}
	})
}

// FuzzMetadata: metadata are settled or refused, and what is settled can be asked for.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}`))
	f.Add([]byte(`{"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"x":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":3}]}}},"outputs":{}}}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for protocol, parse := range map[Protocol]func([]byte) (metadata, error){
			V2REST:            parseV2Metadata,
			TensorFlowServing: func(b []byte) (metadata, error) { return parseServingMetadata(b, "") },
		} {
			m, err := parse(body)
			if err != nil {
				continue
			}
			cfg := Config{Protocol: protocol, URL: "https://h", Model: "m"}.withDefaults()
			c := &Classifier{asker: newAsker(cfg, secret{})}
			if c.settle(cfg, m) != nil {
				continue
			}
			d := c.Describe()
			if d.RowSize() < 1 || c.chunk < 1 || d.Batch < 0 || d.Layout == "" {
				t.Errorf("%+v with %d rows a request", d, c.chunk)
			}
		}
	})
}

// FuzzTemplate: a template that is accepted ends, and makes JSON or an error.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		`{"rows": {{json .Rows}}}`, `[{{range $i, $r := .Rows}}{{if $i}},{{end}}{{range $r}}{{.}}{{else}}0{{end}}{{end}}]`,
		`{{if and (eq .Count 2) (not false)}}{{index .Rows 0 1}}{{else if lt 1 2}}{{len .Rows}}{{end}}`, `{{/* why */}}null`, `{{break}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		request, err := parseTemplate(text)
		if err != nil {
			return
		}
		body, err := fill(request, query{input: tensorInfo{datatype: "FP32", shape: []int64{3}}, rows: make([]float64, 6), n: 2})
		if err == nil && !json.Valid(body) {
			t.Errorf("%s makes %s", text, body)
		}
	})
}

// TestPaths: paths and the texts they are written as.
func TestPaths(t *testing.T) {
	for text, want := range map[string]string{
		"outputs[0].scores":                  `.outputs[0].scores`,
		"predictions[*].label":               `.predictions[*].label`,
		"$":                                  ``,
		"$.a":                                `.a`,
		"[*][2]":                             `[*][2]`,
		`["a.b"]["]"].c`:                     `["a.b"]["]"].c`,
		"a-b.ü_1":                            `.a-b.ü_1`,
		"":                                   "error",
		"a..b":                               "error",
		"a.":                                 "error",
		"a[":                                 "error",
		"a[-1]":                              "error",
		"a[99999999999]":                     "error",
		`a["b]`:                              "error",
		"a]":                                 "error",
		"$a":                                 "error",
		"a[0]b":                              "error",
		"*":                                  "error",
		"a b":                                "error",
		strings.Repeat("a.", maxSteps) + "b": "error",
	} {
		p, err := parsePath(text)
		if err != nil && want == "error" {
			continue
		}
		if err != nil || printed(p) != want {
			t.Errorf("%q: %q, %v", text, printed(p), err)
		}
	}
}

// TestHide: no form and no part of a secret is left, wherever a text is cut.
func TestHide(t *testing.T) {
	s := newSecret("Authorization", "Bearer ", `tok"en`)
	for _, text := range []string{`tok"en`, `tok\"en`, "tok%22en", `Bearer tok"en and tok"en`} {
		if got := s.hide(text); strings.Contains(got, "tok") {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	long := strings.Repeat("x", 50) + `tok"en`
	for n := range len(long) {
		if got := s.excerptOfStart(long[:n], true, 100); strings.Contains(got, "t") {
			t.Errorf("cut after %d: %q", n, got)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "tok") {
		t.Errorf("it prints as %s", text)
	}
	if got := s.excerpt(strings.Repeat("é", 300), maxShown); len([]rune(got)) != maxShown+1 || !bytes.HasSuffix([]byte(got), []byte("…")) {
		t.Errorf("an excerpt of %d characters", len([]rune(got)))
	}
}
