package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// jsonEndpoint takes and gives JSON of any form.
type jsonEndpoint struct {
	*httpClient
	request *template.Template
	answer  path
	classes []string
	single  bool // requests have one row
}

func newJSONEndpoint(client *httpClient, cfg Config) (protocol, error) {
	request, err := parseTemplate(cfg.Request)
	if err != nil {
		return nil, err
	}
	answer, err := parsePath(cfg.Answer)
	if err != nil {
		return nil, err
	}
	return &jsonEndpoint{httpClient: client, request: request, answer: answer, classes: cfg.Classes, single: cfg.MaxRows == 1}, nil
}

func (e *jsonEndpoint) metadata(context.Context) (metadata, error) { return metadata{}, nil }

func (e *jsonEndpoint) infer(ctx context.Context, q query) (answer, error) {
	body, err := fill(e.request, q)
	if err != nil {
		return answer{}, err
	}
	return e.ask(ctx, "", body, q.n, func(body []byte) (answer, error) {
		return parseJSONAnswer(body, e.answer, e.classes, e.single, q.limit)
	})
}

// parseJSONAnswer reads what stands at a path. Where requests have one row, the row may
// come without an array around it.
func parseJSONAnswer(body []byte, p path, classes []string, single bool, limit int) (answer, error) {
	a, err := find(body, p, classes, limit)
	if single && err == nil && (len(a.shape) == 0 || a.shape[0] != 1) {
		a.shape = append([]int64{1}, a.shape...)
	}
	return a, err
}

// templateFunctions is all that a template can call. The others that text/template has
// are shut off: they make text that is not JSON, or of any length.
var templateFunctions = template.FuncMap{
	"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	},
}

var templateAllowed = []string{"json", "len", "index", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"}

// The bounds of a template.
const (
	maxTemplate = 64 << 10
	maxRequest  = 256 << 20 // bytes of a body
	maxRanges   = 3         // within each other
)

// parseTemplate reads the template of a request's body, in the language that the
// package's documentation describes.
func parseTemplate(text string) (*template.Template, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, errors.New(`the template of the body is missing, such as '{"rows": {{json .Rows}}}'`)
	case len(text) > maxTemplate:
		return nil, fmt.Errorf("the template has more than %d bytes", maxTemplate)
	}
	t, err := template.New("request").Option("missingkey=error").Funcs(templateFunctions).Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) != 1 {
		return nil, errors.New("the template defines others, which it may not")
	}
	return t, restrict(t.Root, 0)
}

// restrict refuses what could run long, or do anything but write values. Variables are
// those of ranges alone, so that a range goes over the data and never over a number.
func restrict(node parse.Node, ranges int) error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, child := range n.Nodes {
			if err := restrict(child, ranges); err != nil {
				return err
			}
		}
		return nil
	case *parse.ActionNode:
		return restrictPipe(n.Pipe, 0)
	case *parse.IfNode:
		return errors.Join(restrictPipe(n.Pipe, 0), restrict(n.List, ranges), restrict(n.ElseList, ranges))
	case *parse.RangeNode:
		if ranges == maxRanges {
			return fmt.Errorf("line %d: more than %d ranges are within each other", n.Line, maxRanges)
		}
		if !overData(n.Pipe) {
			return fmt.Errorf("line %d: a range goes over .Rows, a part of it by index, or a variable of another range", n.Line)
		}
		return errors.Join(restrictPipe(n.Pipe, 2), restrict(n.List, ranges+1), restrict(n.ElseList, ranges))
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		return nil
	}
	return fmt.Errorf("%s is not allowed in it", node)
}

func overData(p *parse.PipeNode) bool {
	if len(p.Cmds) != 1 {
		return false
	}
	switch first := p.Cmds[0].Args[0].(type) {
	case *parse.FieldNode, *parse.VariableNode, *parse.DotNode:
		return true
	case *parse.IdentifierNode:
		return first.Ident == "index"
	}
	return false
}

// restrictPipe allows so many variables to be declared.
func restrictPipe(p *parse.PipeNode, variables int) error {
	if len(p.Decl) > variables || p.IsAssign {
		return fmt.Errorf("line %d: only a range can have variables", p.Line)
	}
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			switch a := arg.(type) {
			case *parse.PipeNode:
				if err := restrictPipe(a, 0); err != nil {
					return err
				}
			case *parse.IdentifierNode:
				if !slices.Contains(templateAllowed, a.Ident) {
					return fmt.Errorf("the function %s is not allowed in it: there are %s", a.Ident, strings.Join(templateAllowed, ", "))
				}
			case *parse.ChainNode:
				return fmt.Errorf("%s is not allowed in it", a)
			}
		}
	}
	return nil
}

// fill makes a body for rows.
func fill(t *template.Template, q query) ([]byte, error) {
	w := &boundedWriter{}
	if err := t.Execute(w, map[string]any{"Rows": nested(q), "Count": q.n}); err != nil {
		return nil, &Error{Problem: "the template of the request fails: " + err.Error(), Remedy: "correct request"}
	}
	if !json.Valid(w.data) {
		err := json.Unmarshal(w.data, new(json.RawMessage))
		return nil, &Error{Problem: fmt.Sprintf("the template of the request makes what is not JSON: %v: %s", err, w.data), Remedy: "correct request"}
	}
	return w.data, nil
}

// nested gives the rows to a template, as arrays of numbers alone: these have no methods.
func nested(q query) any {
	values := make([]float64, len(q.rows))
	d := datatypes[q.input.datatype]
	for i, v := range q.rows {
		values[i] = d.rounded(v)
	}
	return nest(append([]int64{int64(q.n)}, q.input.shape...), values)
}

func nest(shape []int64, values []float64) any {
	if len(shape) == 1 {
		return values
	}
	size := len(values) / int(shape[0])
	list := make([]any, shape[0])
	for i := range list {
		list[i] = nest(shape[1:], values[i*size:(i+1)*size])
	}
	return list
}

// boundedWriter keeps what is written, up to a limit.
type boundedWriter struct{ data []byte }

func (w *boundedWriter) Write(p []byte) (int, error) {
	if len(w.data)+len(p) > maxRequest {
		return 0, fmt.Errorf("the body has more than %d bytes: lower max_rows", maxRequest)
	}
	w.data = append(w.data, p...)
	return len(p), nil
}
