package main

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/system"
)

// survey is what there is in a folder for a description of a system.
type survey struct {
	Models  []foundModel `json:"models"`
	Data    []foundData  `json:"data"`
	LeftOut []leftOut    `json:"leftOut"`
}

type foundModel struct {
	Name    string   `json:"name"`
	File    string   `json:"file"` // relative to the folder where it is in it
	Shape   []int64  `json:"shape"`
	Classes []string `json:"classes,omitempty"`
	Without string   `json:"without,omitempty"`

	description model.Description
	schema      *dataset.Schema // that it was trained by, if it says so
}

type foundData struct {
	Name    string      `json:"name"`
	File    string      `json:"file"`
	Role    system.Role `json:"role"`
	Guessed bool        `json:"-"` // nothing but the absence of another word speaks for the role
	Label   string      `json:"label,omitempty"`
	Fits    []string    `json:"fits"` // names of models

	schema   *dataset.Schema
	asImages *dataset.Schema // what must be said of a table that models take as images
}

type leftOut struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Limits of a search through a folder.
const (
	maxVisited = 20000 // files and folders
	maxDepth   = 3     // folders within one another
	maxFound   = 50    // models, and files of data
)

// dataFile tells data by their names; labels beside them are found by themselves.
var dataFile = regexp.MustCompile(`(?i)(\.(csv|tsv|parquet|jsonl|ndjson|npy|npz|idx)|-idx[34]-ubyte)(\.gz)?$`)

// search finds models and data by their names.
func search(ctx context.Context, folder string) (models, data []string, err error) {
	visited := 0
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(folder, path)
		switch visited++; {
		case err != nil && rel != ".":
			return fs.SkipDir // a folder that is not ours to read
		case err != nil || ctx.Err() != nil || visited > maxVisited:
			return cmp.Or(err, ctx.Err(), fs.SkipAll)
		}
		hidden := strings.HasPrefix(d.Name(), ".") && rel != "."
		switch {
		case d.IsDir() && (hidden || d.Name() == "node_modules" || strings.Count(rel, string(filepath.Separator)) >= maxDepth):
			return fs.SkipDir
		case hidden || !d.Type().IsRegular():
		case strings.EqualFold(filepath.Ext(path), ".onnx") && len(models) < maxFound:
			models = append(models, path)
		case dataFile.MatchString(path) && len(data) < maxFound:
			data = append(data, path)
		}
		return nil
	})
	return models, data, err
}

// look opens models and data, and finds out which fit together. What cannot be used is
// left out with the reason.
func look(ctx context.Context, u *ui, folder string, models, data []string) (*survey, error) {
	s := &survey{Models: []foundModel{}, Data: []foundData{}, LeftOut: []leftOut{}}
	names := map[string]bool{}
	for _, path := range models {
		m, err := lookAtModel(ctx, u, path)
		if err != nil {
			s.LeftOut = append(s.LeftOut, leftOut{path, err.Error()})
			continue
		}
		m.Name, m.File = unusedName(path, names), within(folder, path)
		s.Models = append(s.Models, m)
	}
	s.compare()
	clear(names)
	for _, path := range data {
		d, err := s.lookAtData(ctx, path)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			s.LeftOut = append(s.LeftOut, leftOut{path, err.Error()})
			continue
		}
		d.Name, d.File = unusedName(path, names), within(folder, path)
		s.Data = append(s.Data, d)
	}
	return s, nil
}

func lookAtModel(ctx context.Context, u *ui, path string) (foundModel, error) {
	m, err := (&admission{}).open(ctx, u, path)
	if err != nil {
		return foundModel{}, err
	}
	r, err := model.Recognise(m, model.Override{})
	if err != nil {
		return foundModel{}, err
	}
	schema, err := target.ReadSchema(m)
	if err != nil {
		return foundModel{}, err
	}
	f := foundModel{Shape: r.Shape, Classes: r.Classes, description: r.Description, schema: schema}
	if schema != nil && (len(r.Classes) == 0 || len(r.Classes) == len(schema.Label.Classes)) {
		f.Classes = schema.Label.Classes // their names
	}
	return f, nil
}

// undefended finds models by what people call those without a defence.
var undefended = regexp.MustCompile(`(?i)^(undefended|baseline|base|plain|standard|original|vanilla|before)\b`)

// compare gives each model the one to compare it with: one of the same shape that is
// called undefended, or the like.
func (s *survey) compare() {
	for i := range s.Models {
		m := &s.Models[i]
		for _, other := range s.Models {
			if undefended.MatchString(other.Name) && !undefended.MatchString(m.Name) && slices.Equal(other.Shape, m.Shape) && m.Without == "" {
				m.Without = other.Name
			}
		}
	}
}

// lookAtData reads data as the models were trained by them, where a model says how, and
// else as they tell themselves.
func (s *survey) lookAtData(ctx context.Context, path string) (foundData, error) {
	d := foundData{Fits: []string{}}
	d.Role, d.Guessed = role(path)
	source, err := dataset.Open(ctx, path, dataset.Options{})
	if err == nil {
		d.use(source.Schema())
	}
	for _, m := range s.Models {
		if m.schema == nil || ctx.Err() != nil {
			continue
		}
		if known, problem := dataset.Open(ctx, path, dataset.Options{Schema: m.schema}); problem == nil {
			d.use(known.Schema())
			d.Fits = append(d.Fits, m.Name)
		}
	}
	if d.schema == nil {
		return d, err
	}
	for _, m := range s.Models {
		if m.schema == nil && d.fits(m) {
			d.Fits = append(d.Fits, m.Name)
		}
	}
	return d, nil
}

// use takes a schema by which the data can be read. Where that makes a table images, it
// is something to say of the data.
func (d *foundData) use(s *dataset.Schema) {
	if d.schema != nil && len(d.schema.Shape) == 0 && len(s.Shape) > 0 {
		f := s.Features[0]
		f.Observed = nil
		d.asImages = &dataset.Schema{Shape: s.Shape, Features: []dataset.Feature{f}}
	}
	d.schema, d.Label = s, s.Label.Name
}

// fits reports whether data have the width and classes that a model takes and gives.
func (d *foundData) fits(m foundModel) bool {
	classes := len(m.Classes)
	if d.schema.Width() != m.description.RowSize() || classes > 0 && classes != len(d.schema.Label.Classes) {
		return false
	}
	if len(d.schema.Shape) == 0 && len(m.Shape) == 3 {
		shape := make([]int, len(m.Shape))
		for i, size := range m.Shape {
			shape[i] = int(size)
		}
		d.asImages = &dataset.Schema{Shape: shape}
	}
	return true
}

func role(path string) (r system.Role, guessed bool) {
	name := strings.ToLower(filepath.Base(path))
	switch {
	case strings.Contains(name, "train"):
		return system.Training, false
	case strings.Contains(name, "valid"):
		return system.Validation, false
	case strings.Contains(name, "test"):
		return system.Test, false
	}
	return system.Test, true
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// unusedName makes a name of a file's, which no other has.
func unusedName(path string, used map[string]bool) string {
	base, _, _ := strings.Cut(filepath.Base(path), ".")
	name := strings.Trim(notInNames.ReplaceAllString(base, "-"), "-_")
	name = cmp.Or(name[:min(len(name), 56)], "unnamed")
	unused := name
	for i := 2; used[unused]; i++ {
		unused = fmt.Sprintf("%s-%d", name, i)
	}
	used[unused] = true
	return unused
}

// within gives a path as a description in the folder has it: relative to it, or
// absolute where it is elsewhere.
func within(folder, path string) string {
	from, err := filepath.Abs(folder)
	if err != nil {
		return path
	}
	to, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return to
}

// modality is that of the models: images where one takes images.
func (s *survey) modality() assay.Modality {
	for _, m := range s.Models {
		if m.description.Layout == model.NCHW || m.description.Layout == model.NHWC {
			return assay.Image
		}
	}
	return assay.Tabular
}
