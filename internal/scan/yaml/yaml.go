// Package yaml scans YAML beside or in a model: tags by which loaders make any object, and
// configurations that name the classes and functions to be called. It reads lines and
// builds nothing, so that what one loader takes for a text and another for a tag is told.
package yaml

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/secret"
)

// Scanner scans YAML documents, also those that stand before a text in Markdown.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "yaml", Title: "YAML, such as a model's configuration or card", Rules: []scan.Rule{
		{ID: "yaml-tag", Title: "A tag has the loader make an object of any class or call any function"},
		{ID: "yaml-target", Title: "The configuration names a class or function to be called"},
		{ID: "yaml-code", Title: "The configuration has the program run code that comes with the model"},
		{ID: "yaml-unread", Title: "The document could not be read to its end"},
		secret.Rules("yaml")[0],
	}}
}

var begin = regexp.MustCompile(`\A(?:\xef\xbb\xbf)?(?:[ \t]*(?:#[^\n]*)?\r?\n|---[^\n]*\n|%[A-Z]+ [^\n]*\n)*[ \t]*(?:- )*(?:["']?[\w.$/ -]{1,100}["']?[ \t]*:(?:[ \t\r\n]|$)|!)`)

// Match reports a key and a colon, or a tag, after comments and directives.
func (Scanner) Match(p scan.Probe) bool {
	return begin.Match(p.Head) && bytes.IndexByte(p.Head, 0) < 0
}

// pythonic is how a statement of Python begins that is a key too.
var pythonic = regexp.MustCompile(`^(?:class|try|else|finally)\b`)

func firstLine(ctx context.Context, f *scan.File) (string, error) {
	content, err := f.Reader(ctx)
	if err != nil {
		return "", err
	}
	defer content.Close()
	in := bufio.NewScanner(io.LimitReader(content, scan.HeadBytes))
	for in.Scan() {
		if text := strings.TrimSpace(in.Text()); text != "" && text[0] != '#' {
			return text, nil
		}
	}
	return "", in.Err()
}

const maxLine = 1 << 20

// Scan reads the lines.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	if head, err := firstLine(ctx, f); err != nil {
		return err
	} else if !pythonic.MatchString(head) {
		r.AccountsForAll() // Python's classes begin like keys, and have a scanner of their own
	}
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	in := bufio.NewReaderSize(content, 64<<10)
	j := &judge{file: f, report: r}
	for offset := int64(0); ; {
		line, err := read(in)
		if errors.Is(err, errLong) || bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f' }) {
			r.Undecided("yaml-unread", f.Place(offset, ""), "It has a line that is no text or longer than is read.", "Get the file again from its source, or leave it out.")
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		j.line(string(line), offset)
		offset += int64(len(line))
		if err != nil {
			return nil
		}
	}
}

var errLong = errors.New("the line is too long")

func read(in *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := in.ReadSlice('\n')
		out = append(out, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return out, err
		}
		if len(out) > maxLine {
			return out, errLong
		}
	}
}

type judge struct {
	file   *scan.File
	report *scan.Report
}

func (j *judge) tell(rule, subject string, severity scan.Severity, offset int64, message, remedy string) {
	j.report.AddOnce(scan.Finding{Rule: rule, Severity: severity, Place: j.file.Place(offset, subject), Message: message, Remedy: remedy})
}

var (
	tag    = regexp.MustCompile(`(?:^|[\s\[{,:-])!(?:<[^>\s]*>|[^\s,\[\]{}"']*)`)
	maker  = regexp.MustCompile(`(?i)(?:^!|:)(?:python|ruby|js|php|perl|java|javax|com|net|clr|system)(?:/|\.|:|$)`)
	target = regexp.MustCompile(`(?:^|[\s{,-])["']?(_target_|class_path|__target__)["']?\s*:\s*["']?([\w.:]*)`)
	remote = regexp.MustCompile(`(?:^|[\s{,-])["']?(?:trust_remote_code["']?\s*:\s*["']?(?i:true|yes|on)\b|(?:auto_map|custom_pipelines)["']?\s*:)`)
)

func (j *judge) line(line string, offset int64) {
	const plain = "Do not load it with a loader that makes objects; write it as plain YAML and read it with a safe loader."
	text, _, _ := strings.Cut(line, " #")
	if strings.HasPrefix(text, "%TAG") {
		j.tell("yaml-tag", "%TAG", scan.Unknown, offset, "It gives a tag another name, so that what its tags are cannot be told from where they stand.", plain)
	}
	for _, at := range tag.FindAllStringIndex(text, -1) {
		name := strings.TrimLeft(text[at[0]:at[1]], " \t[{,:-")
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		name = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "!<"), "!"), ">")
		if maker.MatchString("!"+strings.TrimPrefix(name, "!")) || maker.MatchString(name) {
			j.tell("yaml-tag", name, scan.Critical, offset+int64(at[0]), fmt.Sprintf("The tag %.200q has a loader make an object or call a function: with a loader that follows it, loading the file runs code.", name), plain)
		}
	}
	if m := target.FindStringSubmatch(text); m != nil {
		j.target(m[1], m[2], offset)
	}
	if remote.MatchString(text) {
		j.tell("yaml-code", "", scan.High, offset, "It has the program which loads the model run Python code that comes with it.", "Load the model with a class of the library itself, or review and pin the code.")
	}
	for _, found := range secret.Findings("yaml", "It", text) {
		if found.Severity != scan.Low { // a card names its authors
			j.tell(found.Rule, found.Message, found.Severity, offset+found.Place.Offset, found.Message, found.Remedy)
		}
	}
}

// libraries are packages whose classes are layers, optimisers, data loaders and the like.
var libraries = []string{"torch.nn", "torch.optim", "torch.utils.data", "torchvision.transforms", "torchvision.models", "torchmetrics", "lightning.pytorch", "pytorch_lightning", "nemo.collections", "nemo.core", "nemo.lightning", "transformers", "diffusers", "timm", "sklearn", "monai"}

// reaching are modules of which a function that is called by a configuration does harm.
var reaching = []string{"os", "posix", "nt", "sys", "subprocess", "builtins", "importlib", "runpy", "pty", "shutil", "socket", "ctypes", "code", "pickle", "marshal", "pydoc", "pkgutil", "operator", "functools", "webbrowser", "urllib", "requests", "timeit", "hydra.utils", "torch.load", "torch.hub", "numpy.load", "joblib"}

func within(name string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return name == m || strings.HasPrefix(name, m+".") })
}

// target judges what a configuration has called (Hydra's instantiate and what follows it).
func (j *judge) target(key, name string, offset int64) {
	const remedy = "Review what is called, and load the model in code that names its classes itself."
	switch {
	case within(name, reaching):
		j.tell("yaml-target", name, scan.Critical, offset, fmt.Sprintf("By %s it has %s called when the configuration is turned into objects.", key, name), remedy)
	case within(name, libraries):
	default:
		j.tell("yaml-target", name, scan.Unknown, offset, fmt.Sprintf("By %s it has %q called when the configuration is turned into objects, which is not known.", key, name), remedy)
	}
}
