// Package jsontext scans JSON beside or in a model: configuration that has code run, Keras's
// description of layers, chat templates, and XGBoost's models, which are numbers.
package jsontext

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/jinja"
	"assay/internal/scan/secret"
)

// Scanner scans JSON objects, one or several after each other.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "json", Title: "JSON, such as a model's configuration or Keras's layers", Rules: append([]scan.Rule{
		{ID: "config-code", Title: "The configuration has the program run code that comes with the model"},
		{ID: "config-template", Title: "The chat template reaches beyond what a chat needs"},
		{ID: "keras-lambda", Title: "A layer is code that the file brings"},
		{ID: "keras-module", Title: "A layer is anything from a Python module of the file's choice"},
		{ID: "keras-custom", Title: "A layer is of a class that is not Keras's own"},
		{ID: "keras-file", Title: "A layer reads a file of the machine"},
		{ID: "skops-type", Title: "Loading it with skops makes an object of a class that is not known to be harmless"},
		{ID: "json-limit", Title: "It is JSON beyond what is read, but not beyond what programs read"},
		{ID: "json-unread", Title: "It begins as JSON and could not be read to its end"},
	}, secret.Rules("config")...)}
}

// Match reports the beginning of an object.
func (Scanner) Match(p scan.Probe) bool {
	h := bytes.TrimPrefix(bytes.TrimLeft(p.Head, " \t\r\n"), []byte("\xef\xbb\xbf"))
	if len(h) < 2 || h[0] != '{' {
		return false
	}
	h = bytes.TrimLeft(h[1:], " \t\r\n")
	return len(h) > 0 && (h[0] == '"' || h[0] == '}')
}

// Scan reads the values one by one, without holding the whole.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	return Judge(ctx, bufio.NewReaderSize(content, 64<<10), func(offset int64, node string) scan.Place { return f.Place(offset, node) }, r.Add)
}

const (
	maxDepth = 10_000
	maxText  = 8 << 20
)

var (
	errDepth = fmt.Errorf("it is nested more than %d deep", maxDepth)
	errText  = fmt.Errorf("it has a text or number of more than %d bytes", maxText)
)

// Judge reads JSON and reports what is in it. The error is that of the context or of
// reading; JSON that is damaged is reported.
func Judge(ctx context.Context, r io.Reader, place func(offset int64, node string) scan.Place, add func(scan.Finding)) error {
	in := json.NewDecoder(&guard{r: r})
	in.UseNumber()
	j := &judge{in: in, place: place, add: add}
	for {
		err := j.value("")
		if errors.Is(err, io.EOF) && j.depth == 0 {
			return nil
		}
		if err == nil {
			continue
		}
		var syntax *json.SyntaxError
		if ctx.Err() != nil || !errors.As(err, &syntax) && !errors.Is(err, errDepth) && !errors.Is(err, errText) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return err
		}
		rule := "json-unread"
		if errors.Is(err, errDepth) || errors.Is(err, errText) || syntax != nil && (strings.Contains(syntax.Error(), "'N'") || strings.Contains(syntax.Error(), "'I'")) {
			rule = "json-limit" // Python reads on where this reader does not: NaN and Infinity
		}
		add(scan.Finding{Rule: rule, Severity: scan.Unknown, Place: place(in.InputOffset(), ""),
			Message: fmt.Sprintf("It begins as JSON and cannot be read on: %v.", err), Remedy: "Get the file again from its source, or leave it out."})
		return nil
	}
}

// guard ends reading at a text that is too long to be held.
type guard struct {
	r     io.Reader
	since int
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if i := bytes.LastIndexAny(p[:n], `",`); i >= 0 {
		g.since = n - i
	} else if g.since += n; g.since > maxText {
		return 0, errText
	}
	return n, err
}

type judge struct {
	in    *json.Decoder
	place func(int64, string) scan.Place
	add   func(scan.Finding)
	depth int
}

func (j *judge) tell(rule string, severity scan.Severity, node, message, remedy string) {
	j.add(scan.Finding{Rule: rule, Severity: severity, Place: j.place(j.in.InputOffset(), node), Message: message, Remedy: remedy})
}

// value reads a value that has a key, "" for none.
func (j *judge) value(key string) error {
	t, err := j.in.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		if j.depth++; j.depth > maxDepth {
			return errDepth
		}
		if t == '{' {
			err = j.object(key)
		} else {
			for err == nil && j.in.More() {
				err = j.value(key)
			}
		}
		if err != nil {
			return err
		}
		j.depth--
		_, err = j.in.Token()
		return err
	case string:
		j.text(key, t)
	case bool:
		if key == "trust_remote_code" && t {
			j.tell("config-code", scan.High, key, "It sets trust_remote_code, so that the program which loads the model runs the Python code that comes with it.", "Load the model without it, with a class of the library itself.")
		}
	}
	return nil
}

// object reads an object's members. What makes it a layer of Keras is judged at its end.
func (j *judge) object(key string) error {
	if key == "auto_map" || key == "custom_pipelines" {
		j.tell("config-code", scan.High, key, fmt.Sprintf("It has %q: a program that trusts the model loads Python classes from files beside it and runs them.", key), "Load the model with a class of the library itself, or review and pin the code.")
	}
	var l layer
	var n node
	for j.in.More() {
		t, err := j.in.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("%w: a key is no text", io.ErrUnexpectedEOF)
		}
		if name == "class_name" || name == "module" || name == "registered_name" || name == "config" || name == "vocabulary" {
			if err := j.member(&l, name); err != nil {
				return err
			}
			continue
		}
		if strings.HasPrefix(name, "__") || name == "handler" {
			t, err := j.in.Token()
			if err != nil {
				return err
			}
			if err := j.named(&n, name, t); err != nil {
				return err
			}
			continue
		}
		if err := j.value(name); err != nil {
			return err
		}
	}
	j.layer(l)
	j.node(n)
	return nil
}

// named reads a member that may say what code is run.
func (j *judge) named(n *node, name string, t json.Token) error {
	switch t := t.(type) {
	case json.Delim:
		return j.rest(t, name)
	case string:
		j.text(name, t)
		n.member(name, t)
		if file, _, _ := strings.Cut(t, ":"); name == "handler" && strings.HasSuffix(file, ".py") {
			j.tell("config-code", scan.High, name, fmt.Sprintf("It names %.200q as its handler: a server of models imports and runs that file when it loads the model.", t), "Review the code, and serve the model with the server's own handler where it does.")
		}
	}
	return nil
}

// text judges a text by its key: a template is code, another JSON document may be in it,
// and any may hold what should not be passed on.
func (j *judge) text(key, s string) {
	if key == "chat_template" || key == "template" && strings.Contains(s, "{%") {
		for _, p := range jinja.Judge(s) {
			severity := scan.Unknown
			if p.Attack {
				severity = scan.Critical
			}
			j.tell("config-template", severity, key, "Its chat template is a program. "+p.Message+" Rendered outside a sandbox, it could run anything.", "Replace the template by that of the model's maker, and render it in Jinja's ImmutableSandboxedEnvironment.")
		}
	}
	for _, found := range secret.Findings("config", fmt.Sprintf("The value of %.200q", key), s) {
		j.tell(found.Rule, found.Severity, key, found.Message, found.Remedy)
	}
}
