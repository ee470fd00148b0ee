package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"assay/internal/train/network"
)

// edit changes the data's lines and columns, both counted from 0; the first line has the names.
func (c *clinic) edit(line, column int, value string) {
	c.t.Helper()
	text, err := os.ReadFile(c.path("test.csv"))
	if err != nil {
		c.t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	fields := strings.Split(lines[line], ",")
	fields[column] = value
	lines[line] = strings.Join(fields, ",")
	c.write("test.csv", strings.Join(lines, "\n"))
}

// lines keeps some lines of the data, and the first.
func (c *clinic) lines(keep func(line string) bool) {
	c.t.Helper()
	text, err := os.ReadFile(c.path("test.csv"))
	if err != nil {
		c.t.Fatal(err)
	}
	all := strings.SplitAfter(string(text), "\n")
	out := all[0]
	for _, line := range all[1:] {
		if keep(line) {
			out += line
		}
	}
	c.write("test.csv", out)
}

// TestBadInput is about what is found to be wrong only when models and data are open: a sentence
// with the line and column of assay.yaml, and whatever places there are in the file it names.
func TestBadInput(t *testing.T) {
	replace := func(from, to string) func(*clinic) {
		return func(c *clinic) { c.replace("assay.yaml", from, to) }
	}
	truncate := func(name string, to float64) func(*clinic) {
		return func(c *clinic) {
			text := contents(t, c.folder)[name]
			c.write(name, text[:int(to*float64(len(text)))])
		}
	}
	model := func(features, classes int) func(*clinic) {
		return func(c *clinic) {
			if err := network.MLP(features, []int{4}, classes, 1).Save(c.path("hardened.onnx")); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(changes ...func(*clinic)) func(*clinic) {
		return func(c *clinic) {
			for _, change := range changes {
				change(c)
			}
		}
	}
	noSchema := replace(", schema: schema.yaml", "")
	for name, c := range map[string]struct {
		change func(*clinic)
		line   int // in assay.yaml
		want   string
	}{
		"number for a name":          {replace("name: clinic", "name: [1]"), 2, "system.name"},
		"NaN for eps":                {replace("access: gradients}", "access: gradients, eps: .nan}"), 16, "eps"},
		"negative eps":               {replace("access: gradients}", "access: gradients, eps: -0.1}"), 16, "eps"},
		"text for n":                 {replace("n: 90", "n: many"), 17, "sampling.n"},
		"negative n":                 {replace("n: 90", "n: -1"), 17, "sampling.n"},
		"confidence above 1":         {replace("limit: 0.2", "confidence: 1.5"), 17, "confidence"},
		"NaN for the limit":          {replace("limit: 0.2", "limit: .nan"), 17, "limit"},
		"limit above 1":              {replace("limit: 0.2", "limit: 7"), 17, "limit"},
		"negative seed":              {replace("version: 1", "seed: -1\nversion: 1"), 1, "seed"},
		"unknown field":              {replace("n: 90", "nn: 90"), 17, "nn"},
		"unknown norm":               {replace("access: gradients}", "norm: L7, eps: 1}"), 16, "norm"},
		"missing model":              {replace("file: hardened.onnx", "file: hardenedd.onnx"), 5, "hardened.onnx"},
		"missing data":               {replace("file: test.csv", "file: tets.csv"), 7, "test.csv"},
		"missing schema":             {replace("schema: schema.yaml", "schema: shema.yaml"), 7, "schema.yaml"},
		"model for data":             {replace("file: hardened.onnx", "file: test.csv"), 5, "test.csv"},
		"data for a model":           {replace("file: test.csv", "file: hardened.onnx"), 7, "hardened.onnx"},
		"truncated model":            {truncate("hardened.onnx", 0.5), 5, "hardened.onnx"},
		"empty model":                {truncate("hardened.onnx", 0), 5, "hardened.onnx"},
		"another input shape":        {model(7, 2), 5, "7"},
		"more classes in the model":  {model(30, 5), 5, "classes"},
		"fewer classes in the file":  {replace("file: hardened.onnx, classes: [benign, malignant]", "file: hardened.onnx, classes: [benign, malignant, other]"), 5, "classes"},
		"stated shape":               {replace("file: hardened.onnx,", "file: hardened.onnx, shape: [31],"), 5, "31"},
		"stated output":              {replace("file: hardened.onnx,", "file: hardened.onnx, scores: nothing,"), 5, "name one of logits"},
		"no such label":              {replace("label: diagnosis", "label: outcome"), 7, "outcome"},
		"label out of range":         {func(c *clinic) { c.edit(3, 30, "unknown") }, 7, "line 4"},
		"label out of range, alone":  {all(noSchema, func(c *clinic) { c.edit(3, 30, "unknown") }), 7, "unknown"},
		"NaN in the data":            {func(c *clinic) { c.edit(3, 2, "NaN") }, 7, "line 4"},
		"NaN in the data, alone":     {all(noSchema, func(c *clinic) { c.edit(3, 2, "NaN") }), 7, "line 4"},
		"infinity in the data":       {func(c *clinic) { c.edit(5, 2, "-Inf") }, 7, "line 6"},
		"text in the data":           {func(c *clinic) { c.edit(5, 2, "high") }, 7, "line 6"},
		"out of the schema's limits": {func(c *clinic) { c.edit(5, 1, "1e9") }, 7, "line 6"},
		"negative in the data":       {func(c *clinic) { c.edit(5, 1, "-4") }, 7, "line 6"},
		"a column less":              {func(c *clinic) { c.edit(0, 2, "another") }, 7, "another"},
		"a short line":               {func(c *clinic) { c.edit(4, 30, "\"") }, 7, "line"},
		"empty data":                 {truncate("test.csv", 0), 7, "test.csv"},
		"names alone":                {func(c *clinic) { c.lines(func(string) bool { return false }) }, 7, "no records"},
		"names alone, no schema":     {all(noSchema, func(c *clinic) { c.lines(func(string) bool { return false }) }), 7, "no records"},
		"damaged schema":             {func(c *clinic) { c.write("schema.yaml", "features: [") }, 7, "schema.yaml"},
		"relation of no feature":     {replace("schema: schema.yaml", `schema: schema.yaml, relations: ['"mean" <= "worst area"']`), 7, "mean"},
		"damaged catalogue":          {all(func(c *clinic) { c.write("own.yaml", "format: x") }, replace("goals:", "catalogues: [own.yaml]\ngoals:")), 0, "own.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			system := newClinic(t, clinicSystem)
			c.change(system)
			for _, command := range []string{"plan", "assess"} {
				exit, out, errs := system.do(command, system.folder, "--format", "json")
				var got struct{ Error jsonError }
				if err := json.Unmarshal([]byte(out), &got); err != nil {
					t.Fatalf("%s: exit %d, %v: %.300s%s", command, exit, err, out, errs)
				}
				place := fmt.Sprintf(`assay\.yaml:%d:\d+: \S`, c.line)
				if c.line == 0 {
					place = `own\.yaml: line 1`
				} else if m := got.Error.Mistakes; len(m) == 0 || m[0].Line != c.line || m[0].Column < 1 || m[0].Path == "" {
					t.Errorf("%s: the mistakes are %+v", command, m)
				}
				if exit != exitUsage || got.Error.Code != "input" || !strings.Contains(errs, c.want) || !regexp.MustCompile(place).MatchString(errs) {
					t.Errorf("%s: exit %d, %s: %s", command, exit, got.Error.Code, errs)
				}
				if strings.Contains(errs, "goroutine") || strings.Contains(errs, "fault of assay") {
					t.Errorf("%s: a stack trace: %s", command, errs)
				}
			}
			for name := range contents(t, system.folder) {
				if strings.HasPrefix(name, "runs/") || name == "assay.lock" {
					t.Errorf("%s was written", name)
				}
			}
		})
	}
}
