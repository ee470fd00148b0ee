// Package code scans code that comes with a model and that a program which loads or serves
// the model runs by itself: handlers, custom tokenizers and models, entry points of images.
package code

import (
	"context"
	"fmt"
	"io"
	"regexp"

	"assay/internal/scan"
	"assay/internal/scan/secret"
)

// Scanner scans text of one kind.
type Scanner struct {
	name, title string
	match       *regexp.Regexp
	rules       []rule
}

type rule struct {
	id       string
	severity scan.Severity
	shape    *regexp.Regexp
	message  string
	remedy   string
}

const maxCode = 4 << 20

// Python scans Python source, and Docker Dockerfiles.
var (
	python = Scanner{"python", "Python code beside a model", regexp.MustCompile(`(?m)\A(?:\s*#.*\n|\s*\n|\s*"""(?s:.*?)""")*\s*(?:import [\w.]+|from [\w.]+ import |def \w+\(|class \w+|async def |@\w+|if __name__)`), []rule{
		{"code-handler", scan.High, regexp.MustCompile(`(?m)^class\s+EndpointHandler\b|^class\s+\w+\([^)]*\bBaseHandler\b|^def\s+handle\(\s*data\s*,\s*context`), "It is a handler, which a server of models loads and runs for the model beside it.", "Review the code, and serve the model with the server's own handler where it does."},
		{"code-custom", scan.High, regexp.MustCompile(`(?m)^class\s+\w+\([^)]*\b(?:PreTrainedTokenizer|PreTrainedTokenizerFast|PreTrainedTokenizerBase|PreTrainedModel|PretrainedConfig|ProcessorMixin|DiffusionPipeline)\b`), "It defines a tokenizer, configuration or model of its own, which loading the model beside it with trust_remote_code runs.", "Load the model with a class of the library itself, or review and pin the code."},
	}}
	docker = Scanner{"dockerfile", "Dockerfile beside a model", regexp.MustCompile(`(?i)\A(?:\s*#.*\n|\s*\n|\s*ARG .*\n)*\s*FROM\s+\S+`), []rule{
		{"docker-entry", scan.Medium, regexp.MustCompile(`(?im)^\s*(?:ENTRYPOINT|CMD)\s+.*$`), "The image runs a program when it starts.", "Review what it runs, and serve the model from an image of one's own."},
		{"docker-fetch", scan.High, regexp.MustCompile(`(?im)(?:\b(?:curl|wget)\b[^\n|;&]*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|^\s*ADD\s+(?:--\S+\s+)*https?://\S+)`), "Building the image runs or takes in what a server on the network gives at that time.", "Have the image built from packages with pinned digests."},
	}}
)

// Scanners gives the scanners of code.
func Scanners() []scan.Scanner { return []scan.Scanner{python, docker} }

// Describe names the format and its rules.
func (s Scanner) Describe() scan.Description {
	d := scan.Description{Name: s.name, Title: s.title}
	for _, r := range s.rules {
		d.Rules = append(d.Rules, scan.Rule{ID: r.id, Title: r.message[:len(r.message)-1]})
	}
	d.Rules = append(d.Rules, secret.Rules(s.name)[0], scan.Rule{ID: s.name + "-unread", Title: "The text is too long to be read, or is no text"})
	return d
}

// Match reports text that begins as such code does.
func (s Scanner) Match(p scan.Probe) bool { return s.match.Match(p.Head) }

// Scan looks for what is run without being asked for.
func (s Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	text, err := io.ReadAll(io.LimitReader(content, maxCode+1))
	if err != nil {
		return err
	}
	if len(text) > maxCode {
		r.Undecided(s.name+"-unread", f.Place(maxCode, ""), fmt.Sprintf("It has more than the %d bytes that are read.", maxCode), "Review it, or leave it out.")
		return nil
	}
	for i, c := range text {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' {
			r.Undecided(s.name+"-unread", f.Place(int64(i), ""), "It begins as code, and goes on with bytes that are no text.", "Get the file again from its source, or leave it out.")
			break
		}
	}
	for _, rule := range s.rules {
		if at := rule.shape.FindIndex(text); at != nil {
			r.Add(scan.Finding{Rule: rule.id, Severity: rule.severity, Place: f.Place(int64(at[0]), ""), Message: rule.message, Remedy: rule.remedy})
		}
	}
	for _, found := range secret.Findings(s.name, "It", string(text)) {
		if found.Severity != scan.Low { // who wrote it may be in it
			r.Add(found)
		}
	}
	return nil
}
