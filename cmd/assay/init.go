package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"assay"
	"assay/docs"
	"assay/internal/model"
	"assay/internal/system"
)

// schemaFile is written beside a description, for editors.
const schemaFile = "assay.schema.json"

// initFlags are the flags of assay init.
type initFlags struct {
	models, data []string
	name, format string
	force        bool
}

func initCommand(u *ui) *cobra.Command {
	f := &initFlags{}
	c := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a description of a system, from its models and data",
		Long: `Write a description of a system, from its models and data.

The folder (the current one if none is named) is searched for ONNX models and data.
The description, assay.yaml, says which fit together, and holds each model against the
goal evasion-prevent. Complete it, and check what it says was guessed.`,
		Example: `  assay init
  assay init examples/diagnosis --model models/plain.onnx --model models/hardened.onnx --data test.csv`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), u, append(args, ".")[0])
		},
	}
	s := c.Flags()
	s.StringArrayVar(&f.models, "model", nil, "an ONNX model, instead of those found; may be repeated")
	s.StringArrayVar(&f.data, "data", nil, "data, instead of those found: a file, or a folder of images; may be repeated")
	s.StringVar(&f.name, "name", "", "what the system is called (as the folder)")
	s.BoolVar(&f.force, "force", false, "replace an assay.yaml that is there")
	s.StringVar(&f.format, "format", "text", "of what is told: text or json")
	return c
}

func (f *initFlags) run(ctx context.Context, u *ui, folder string) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	path := filepath.Join(folder, system.FileName)
	if _, err := os.Lstat(path); err == nil && !f.force {
		return fmt.Errorf("%s is there already: give --force to replace it", path)
	}
	models, data, err := search(ctx, folder)
	if err != nil {
		return err
	}
	for _, given := range [][]string{f.models, f.data} {
		for _, file := range given {
			if _, err := os.Stat(file); err != nil {
				return err
			}
		}
	}
	if len(f.models) > 0 {
		models = f.models
	}
	if len(f.data) > 0 {
		data = f.data
	}
	s, err := look(ctx, u, folder, models, data)
	if err != nil {
		return err
	}
	if len(s.Models) == 0 {
		return noModel(folder, s)
	}
	text, err := f.draft(folder, s)
	if err != nil {
		return err
	}
	if _, err := system.Decode(text, path); err != nil {
		return fmt.Errorf("nothing was written, since this would be wrong in it:\n%w", err)
	}
	if err := errors.Join(writeFile(path, text), writeFile(filepath.Join(folder, schemaFile), docs.Schema)); err != nil {
		return err
	}
	return u.surveyed(path, s, f.format)
}

func noModel(folder string, s *survey) error {
	var reasons []error
	for _, l := range s.LeftOut {
		if strings.EqualFold(filepath.Ext(l.File), ".onnx") {
			reasons = append(reasons, fmt.Errorf("%s cannot be used: %s", l.File, l.Reason))
		}
	}
	if len(reasons) == 0 {
		return fmt.Errorf("no ONNX model was found in %s: name one by --model", folder)
	}
	return errors.Join(reasons...)
}

// writeFile writes a file whole or not at all.
func writeFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

//go:embed assay.yaml.tmpl
var descriptionTemplate string

// draft writes the description.
func (f *initFlags) draft(folder string, s *survey) ([]byte, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	type goal struct{ Solution, Data string }
	var goals []goal
	for _, m := range s.Models {
		if d := s.testData(m.Name); d != nil {
			goals = append(goals, goal{m.Name, d.Name})
		}
	}
	name := cmp.Or(f.name, filepath.Base(absolute))
	if strings.Trim(name, `/\. `) == "" {
		name = "My system"
	}
	t := template.Must(template.New(system.FileName).Funcs(template.FuncMap{"quote": quoted}).Parse(descriptionTemplate))
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		*survey
		Name, SchemaFile string
		Modality         assay.Modality
		Goals            []goal
	}{s, name, schemaFile, s.modality(), goals})
	return out.Bytes(), err
}

// testData gives the data to test a model on, nil for none.
func (s *survey) testData(name string) *foundData {
	for i := range s.Data {
		d := &s.Data[i]
		for _, fits := range d.Fits {
			if fits == name && d.Role == system.Test {
				return d
			}
		}
	}
	return nil
}

var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_/-]*( [A-Za-z0-9_/-]+)*(\.[A-Za-z0-9_]+)*$`)

// quoted writes a text as YAML has it, anywhere.
func quoted(text string) string {
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
	default:
		if plain.MatchString(text) {
			return text
		}
	}
	out, _ := json.Marshal(text) // a JSON string is a YAML string
	return string(out)
}

// Summary says what a model takes and gives.
func (m foundModel) Summary() string {
	return fmt.Sprintf("takes %s, gives %s", shapeText(m.Shape), classText(m.Classes))
}

// Doubt tells the ways to say what a model does not tell of its scores.
func (m foundModel) Doubt() string {
	if m.description.Output != model.UnknownOutput {
		return ""
	}
	return "what its scores are is not certain: logits, probabilities or labels"
}

// Summary says what data hold.
func (d foundData) Summary() string {
	text := shapeText([]int64{int64(d.schema.Width())})
	if len(d.schema.Shape) > 0 {
		text = fmt.Sprintf("arrays of shape %v", d.schema.Shape)
	}
	text += ", " + classText(d.schema.Label.Classes)
	if len(d.Fits) == 0 {
		return text + "; fits no model"
	}
	return text + "; fits " + strings.Join(d.Fits, ", ")
}

// Schema is what must be said for a table to be read as images, in YAML; empty otherwise.
func (d foundData) Schema() (string, error) {
	if d.asImages == nil {
		return "", nil
	}
	text, err := d.asImages.Encode()
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\n", "\n      ")), err
}

// Features gives lines of a schema to adapt, for tables to test on.
func (d foundData) Features() []string {
	if len(d.schema.Shape) > 0 || d.asImages != nil || d.Role != system.Test {
		return nil
	}
	const enough = 40
	var lines []string
	for i, f := range d.schema.Features {
		if i == enough {
			return append(lines, fmt.Sprintf("# and so on, for %d more", len(d.schema.Features)-enough))
		}
		line := fmt.Sprintf("{name: %s, type: %s", quoted(f.Name), f.Type)
		if o := f.Observed; o != nil {
			line += fmt.Sprintf(", min: %v, max: %v", outward(o.Min, math.Floor), outward(o.Max, math.Ceil))
		}
		lines = append(lines, line+", immutable: false}")
	}
	return lines
}

// outward rounds a limit to three significant digits by floor or ceil.
func outward(v float64, round func(float64) float64) float64 {
	if v == 0 || v == math.Trunc(v) {
		return v
	}
	const digits = 3
	unit := math.Pow(10, digits-1-math.Floor(math.Log10(math.Abs(v)))) // steps in one
	return round(v*unit) / unit
}

func shapeText(shape []int64) string {
	if len(shape) == 1 {
		return fmt.Sprintf("%d numbers", shape[0])
	}
	return fmt.Sprintf("arrays of shape %v", shape)
}

func classText(classes []string) string {
	const few = 5
	switch n := len(classes); {
	case n == 0:
		return "classes that only a run can tell"
	case n <= few:
		// Names come from files: what would break a comment's line is written out.
		return fmt.Sprintf("%d classes (%s)", n, strings.Trim(fmt.Sprintf("%+q", classes), "[]"))
	default:
		return fmt.Sprintf("%d classes", n)
	}
}

// surveyed tells what was found and what is left to do.
func (u *ui) surveyed(path string, s *survey, format string) error {
	if format == "json" {
		return u.json(struct {
			Written string `json:"written"`
			*survey
		}{path, s})
	}
	for _, m := range s.Models {
		u.row("model", "%s: %s", m.File, m.Summary())
	}
	for _, d := range s.Data {
		u.row("data", "%s: %s, for %s", d.File, d.Summary(), d.Role)
	}
	for _, l := range s.LeftOut {
		u.row("left out", "%s: %s", l.File, strings.TrimPrefix(l.Reason, l.File+": "))
	}
	for _, m := range s.Models {
		if s.testData(m.Name) == nil {
			u.row("missing", "data to test %s on: name them in data, and a goal in goals", m.Name)
		}
	}
	u.row("written", "%s, and %s for editors", path, filepath.Join(filepath.Dir(path), schemaFile))
	u.row("fill in", "who answers for the system and what it is for; check stage, risk, exposure and what else is marked")
	return nil
}
