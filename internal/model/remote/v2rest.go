package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// v2REST is the Open Inference Protocol over REST.
type v2REST struct {
	*httpClient
	name, version string
}

func (v *v2REST) path() string {
	path := "/v2/models/" + url.PathEscape(v.name)
	if v.version != "" {
		path += "/versions/" + url.PathEscape(v.version)
	}
	return path
}

func (v *v2REST) metadata(ctx context.Context) (metadata, error) {
	body, err := v.get(ctx, v.path())
	if err != nil {
		return noMetadata(err)
	}
	return parseV2Metadata(body)
}

// noMetadata takes it that a server has no metadata where it says so. Where it has no
// model either, the first request fails.
func noMetadata(err error) (metadata, error) {
	var e *Error
	if errors.As(err, &e) && slices.Contains([]string{
		status(http.StatusNotFound), status(http.StatusMethodNotAllowed), status(http.StatusNotImplemented),
	}, e.Status) {
		return metadata{missing: e}, nil
	}
	return metadata{}, err
}

func parseV2Metadata(body []byte) (metadata, error) {
	type info struct {
		Name     string  `json:"name"`
		Datatype string  `json:"datatype"`
		Shape    []int64 `json:"shape"`
	}
	var m struct {
		Inputs  []info `json:"inputs"`
		Outputs []info `json:"outputs"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return metadata{}, fmt.Errorf("its metadata are not those of the protocol: %w", err)
	}
	convert := func(list []info) (out []tensorInfo) {
		for _, i := range list {
			out = append(out, tensorInfo{name: i.Name, datatype: i.Datatype, shape: i.Shape})
		}
		return out
	}
	return metadata{inputs: convert(m.Inputs), outputs: convert(m.Outputs)}, nil
}

func (v *v2REST) infer(ctx context.Context, q query) (answer, error) {
	return v.ask(ctx, v.path()+"/infer", q.v2Body(), q.n, func(body []byte) (answer, error) {
		return parseV2(body, q.output, q.limit)
	})
}

// v2Body is a request with the rows' values one after the other.
func (q query) v2Body() []byte {
	text := func(s string) string {
		quoted, _ := json.Marshal(s)
		return string(quoted)
	}
	shape, _ := json.Marshal(append([]int64{int64(q.n)}, q.input.shape...))
	b := fmt.Appendf(nil, `{"inputs":[{"name":%s,"shape":%s,"datatype":%s,"data":`, text(q.input.name), shape, text(q.input.datatype))
	b = datatypes[q.input.datatype].appendNested(b, []int64{int64(len(q.rows))}, q.rows)
	b = append(b, "}]"...)
	if q.output != "" {
		b = fmt.Appendf(b, `,"outputs":[{"name":%s}]`, text(q.output))
	}
	return append(b, '}')
}

const maxOutputs = 4096 // of an answer

// parseV2 reads one output of an answer: that of a name, or the only one.
func parseV2(body []byte, name string, limit int) (answer, error) {
	names, err := find(body, path{{name: "outputs"}, {kind: all}, {name: "name"}}, nil, maxOutputs)
	if err != nil {
		return answer{}, err
	}
	i, err := chooseOutput(names.texts, name)
	if err != nil {
		return answer{}, err
	}
	at := func(name string) path { return path{{name: "outputs"}, {kind: element, index: i}, {name: name}} }
	shape, err := find(body, at("shape"), nil, maxDepth)
	if err != nil {
		return answer{}, err
	}
	a, err := find(body, at("data"), nil, limit)
	if err != nil {
		return answer{}, err
	}
	a.shape = make([]int64, len(shape.numbers))
	for i, size := range shape.numbers {
		if a.shape[i] = int64(size); size != float64(a.shape[i]) {
			return answer{}, fmt.Errorf("the shape of output %q has the size %g", name, size)
		}
	}
	return a, nil
}

// chooseOutput finds an output among those that came.
func chooseOutput(names []string, name string) (int, error) {
	if name == "" && len(names) == 1 {
		return 0, nil
	}
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	if name == "" {
		return 0, fmt.Errorf("it has the outputs %q: name the one with the scores in output", names)
	}
	return 0, fmt.Errorf("it has the outputs %q, and not %q: check output", names, name)
}
