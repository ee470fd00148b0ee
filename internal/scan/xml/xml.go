// Package xml scans XML, such as PMML and OpenVINO's descriptions of networks. It reads the
// text as it stands: no entity is expanded and nothing that it refers to is fetched.
package xml

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"assay/internal/scan"
	"assay/internal/scan/secret"
)

// Scanner scans XML documents.
type Scanner struct{}

// Describe names the format and its rules.
func (Scanner) Describe() scan.Description {
	return scan.Description{Name: "xml", Title: "XML, such as PMML", Rules: append([]scan.Rule{
		{ID: "xml-entity", Title: "The document declares entities, which can read files or fill the memory"},
		{ID: "xml-include", Title: "The document has another file read or a program run"},
		{ID: "xml-weights", Title: "The weights of a layer are not where they can be"},
		{ID: "xml-library", Title: "A layer needs a library that is not in the file"},
		{ID: "xml-unread", Title: "The document could not be read to its end"},
	}, secret.Rules("xml")...)}
}

// Match reports an XML declaration, or the root of PMML or of OpenVINO.
func (Scanner) Match(p scan.Probe) bool {
	h := bytes.TrimLeft(bytes.TrimPrefix(p.Head, []byte("\xef\xbb\xbf")), " \t\r\n")
	for _, start := range []string{"<?xml", "<PMML", "<net "} {
		if bytes.HasPrefix(h, []byte(start)) {
			return true
		}
	}
	// Pages and notes begin with comments and types of documents too.
	if bytes.HasPrefix(h, []byte("<!DOCTYPE")) && !bytes.HasPrefix(bytes.ToLower(h), []byte("<!doctype html")) {
		return true
	}
	return bytes.HasPrefix(h, []byte("<!")) && (bytes.Contains(h, []byte("<PMML")) || bytes.Contains(h, []byte("<!ENTITY")) || bytes.Contains(h, []byte("<net ")))
}

const (
	maxDepth = 1000
	maxToken = 4 << 20
)

// Scan reads the document to its end.
func (Scanner) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	content, err := f.Reader(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	limited := &limit{r: content}
	in := xml.NewDecoder(limited)
	in.CharsetReader = func(name string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("it is in the encoding %q, and UTF-8 is read", name)
	}
	depth, layer, net := 0, "", false
	for {
		t, err := in.RawToken()
		limited.since = 0
		switch {
		case errors.Is(err, io.EOF) && depth == 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || depth > maxDepth:
			r.Undecided("xml-unread", f.Place(in.InputOffset(), ""), fmt.Sprintf("It cannot be read on (%v, at depth %d).", err, depth), "Get the file again from its source, or leave it out.")
			return nil
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch {
			case depth == 0:
				net = t.Name.Local == "net"
			case t.Name.Local == "layer":
				layer = attribute(t, "name")
			case net && t.Name.Local == "data":
				w := weights{file: f, report: r, layer: layer}
				w.take(t, in.InputOffset())
			}
			depth++
		case xml.EndElement:
			depth--
		}
		for _, found := range judge(t) {
			found.Place = f.Place(in.InputOffset(), found.Place.Node)
			r.Add(found)
		}
	}
}

// weights are the numbers of a layer of OpenVINO's, in a file that is named like this one
// but for its ending.
type weights struct {
	file   *scan.File
	report *scan.Report
	layer  string
}

func (w *weights) take(t xml.StartElement, offset int64) {
	from, size := attribute(t, "offset"), attribute(t, "size")
	if from == "" && size == "" {
		return
	}
	at, err := strconv.ParseInt(from, 10, 64)
	n, sizeErr := strconv.ParseInt(size, 10, 64)
	if err != nil || sizeErr != nil || at < 0 || n < 0 {
		w.report.Add(scan.Finding{Rule: "xml-weights", Severity: scan.Medium, Place: w.file.Place(offset, w.layer), Message: fmt.Sprintf("The weights of layer %.200q are said to be %.40q bytes at %.40q, which cannot be.", w.layer, size, from), Remedy: "Do not load it; convert the model anew."})
		return
	}
	name := filepath.Base(w.file.Path)
	w.report.Refers(strings.TrimSuffix(name, filepath.Ext(name))+".bin", w.layer, at, n)
}

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// limit ends reading where one token is longer than is held.
type limit struct {
	r     io.Reader
	since int
}

func (l *limit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), 4<<10)])
	if l.since += n; l.since > maxToken {
		return 0, fmt.Errorf("a part of it has more than %d bytes", maxToken)
	}
	return n, err
}

func judge(t xml.Token) (out []scan.Finding) {
	add := func(rule string, severity scan.Severity, node, message string) {
		out = append(out, scan.Finding{Rule: rule, Severity: severity, Place: scan.Place{Node: node}, Message: message, Remedy: "Do not load it; have the model written anew."})
	}
	text := ""
	switch t := t.(type) {
	case xml.Directive:
		if s := strings.ToUpper(string(t)); strings.Contains(s, "ENTITY") || strings.Contains(s, "SYSTEM") || strings.Contains(s, "PUBLIC") || strings.Contains(s, "[") {
			add("xml-entity", scan.High, "DOCTYPE", "Its DOCTYPE declares entities or refers to another file: programs that expand them read files of the machine or fill its memory.")
		}
	case xml.ProcInst:
		if !strings.EqualFold(t.Target, "xml") {
			add("xml-include", scan.Medium, t.Target, fmt.Sprintf("It has the processing instruction %q, by which a program does more than read it.", t.Target))
		}
	case xml.StartElement:
		name := strings.ToLower(t.Name.Local)
		if name == "include" && strings.EqualFold(t.Name.Space, "xi") || name == "script" || name == "stylesheet" {
			add("xml-include", scan.High, t.Name.Local, fmt.Sprintf("It has an element %q: a program that follows it reads another file or runs what is in it.", t.Name.Local))
		}
		for _, a := range t.Attr {
			if name == "layer" && a.Name.Local == "version" && !strings.HasPrefix(a.Value, "opset") {
				add("xml-library", scan.Unknown, a.Value, fmt.Sprintf("A layer is of the operator set %q: to run it, a library that is not in the file must be loaded.", a.Value))
			}
			text += a.Value + "\n"
		}
	case xml.CharData:
		text = string(t)
	case xml.Comment:
		text = string(t)
	}
	return append(out, secret.Findings("xml", "The text", text)...)
}
