package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Type is what a feature's values are.
type Type string

// The types of features. A categorical feature is encoded as one column for each
// category (one-hot), every other as one column; a boolean's is 0 or 1.
const (
	Real        Type = "real"
	Integer     Type = "integer"
	Categorical Type = "categorical"
	Boolean     Type = "boolean"
)

// Range is a closed interval.
type Range struct {
	Min float64 `yaml:"min" json:"min" check:"float32"`
	Max float64 `yaml:"max" json:"max" check:"float32"`
}

// Feature describes one column of a table, or every element of an array.
type Feature struct {
	Name string `yaml:"name" json:"name"`
	Type Type   `yaml:"type,omitempty" json:"type,omitempty"`

	// Min and Max are limits in the data's own units: a row outside is a bad row,
	// and no attack leaves them. Without one, Observed stands in for attacks.
	Min *float64 `yaml:"min,omitempty" json:"min,omitempty" check:"float32"`
	Max *float64 `yaml:"max,omitempty" json:"max,omitempty" check:"float32"`
	// Observed is the range of the data the schema was inferred from. New rows may lie outside.
	Observed *Range `yaml:"observed,omitempty" json:"observed,omitempty"`

	// Categories are a categorical feature's values in the order of their columns,
	// or a boolean's two values, that of 0 first.
	Categories []string `yaml:"categories,omitempty" json:"categories,omitempty"`
	// Missing is the value that an empty cell stands for; without it such a row is a bad row.
	Missing string `yaml:"missing,omitempty" json:"missing,omitempty"`
	// Immutable says that an attacker cannot change the feature.
	Immutable bool `yaml:"immutable,omitempty" json:"immutable,omitempty"`
	// Monotone says in which direction alone an attacker can move the feature; without it, in both.
	Monotone Monotone `yaml:"monotone,omitempty" json:"monotone,omitempty"`
	// Cost is what a change by 1 in the data's own units costs an attacker, or one to another category.
	Cost *float64 `yaml:"cost,omitempty" json:"cost,omitempty" check:"min=0 max=1e30"`
}

// Monotone is a direction in which a feature's values can go.
type Monotone string

// The directions.
const (
	Increasing Monotone = "increasing"
	Decreasing Monotone = "decreasing"
)

// Label describes the class that a record belongs to.
type Label struct {
	Name    string   `yaml:"name,omitempty" json:"name,omitempty"`
	Classes []string `yaml:"classes,omitempty" json:"classes,omitempty"` // in the order of their numbers
}

// Schema says what the records of a dataset are. A user's schema may be partial:
// what it leaves out is inferred from the data, unless it is Complete.
type Schema struct {
	// ColumnNames names the columns of a table without a header line, in order.
	ColumnNames []string `yaml:"columns,omitempty" json:"columns,omitempty"`
	// Drop names columns that are neither features nor the label.
	Drop []string `yaml:"drop,omitempty" json:"drop,omitempty"`
	// Shape is the shape of one record where records are arrays: images as channels,
	// height, width. Data stored with channels last are turned, unless Shape is as
	// stored. Given for a table, its feature columns are the elements in order. A
	// schema with a Shape has one feature, which describes every element.
	Shape    []int     `yaml:"shape,omitempty,flow" json:"shape,omitempty" check:"min=1 max=67108864"`
	Features []Feature `yaml:"features,omitempty" json:"features,omitempty"`
	Label    Label     `yaml:"label,omitempty" json:"label,omitzero"`
	// Complete says that nothing is left to infer: the features are encoded in the
	// schema's order, and a column that it does not name is an error. Columns, Groups and
	// Decode are for complete schemas.
	Complete bool `yaml:"complete,omitempty" json:"complete,omitempty"`
}

// Limits of what is read. They are far above real datasets and keep hostile files harmless.
const (
	maxSchemaFile = 16 << 20
	maxColumns    = 1 << 16 // of a table
	maxElements   = 1 << 26 // of one record, encoded
	maxClasses    = 1 << 16
	maxCategories = 1000 // of a feature whose categories are inferred
)

// OpenSchema reads a schema file, as DecodeSchema does.
func OpenSchema(path string) (*Schema, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSchemaFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSchemaFile {
		return nil, fmt.Errorf("the schema %s is larger than %d MB", path, maxSchemaFile>>20)
	}
	s, err := DecodeSchema(data)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", path, err)
	}
	return s, nil
}

// DecodeSchema reads a schema in YAML or JSON. A field it does not know is an error.
func DecodeSchema(data []byte) (*Schema, error) {
	s := &Schema{}
	if err := yaml.Load(data, s, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Encode writes the schema as YAML.
func (s *Schema) Encode() ([]byte, error) { return yaml.Dump(s) }

// Validate reports what contradicts itself in the schema.
func (s *Schema) Validate() error {
	if _, err := elements(s.Shape); err != nil {
		return err
	}
	if len(s.Shape) > 0 && len(s.Features) > 1 {
		return errors.New("a schema with a shape has one feature, which describes every element of it")
	}
	if len(s.Features) > maxColumns || len(s.Label.Classes) > maxClasses {
		return fmt.Errorf("a schema has at most %d features and %d classes", maxColumns, maxClasses)
	}
	names := map[string]bool{}
	for i := range s.Features {
		f := &s.Features[i]
		if f.Name == "" {
			return fmt.Errorf("feature %d has no name", i+1)
		}
		if names[f.Name] {
			return fmt.Errorf("the feature %q is listed twice", f.Name)
		}
		names[f.Name] = true
		if err := f.validate(); err != nil {
			return fmt.Errorf("feature %q %w", f.Name, err)
		}
		if s.Complete && !f.inferred() {
			return fmt.Errorf("feature %q has no type, bounds (min and max, or observed) or categories, but the schema says that it is complete", f.Name)
		}
		if len(s.Shape) > 0 && f.Type == Categorical {
			return fmt.Errorf("feature %q cannot be categorical: it is every element of the shape", f.Name)
		}
		if f.Name == s.Label.Name || slices.Contains(s.Drop, f.Name) {
			return fmt.Errorf("the feature %q is also the label or dropped", f.Name)
		}
	}
	for _, list := range [][]string{s.ColumnNames, s.Drop, s.Label.Classes} {
		if name, twice := repeated(list); twice {
			return fmt.Errorf("%q is listed twice", name)
		}
	}
	if s.Complete && len(s.Features) == 0 {
		return errors.New("a complete schema lists its features")
	}
	if s.Width() > maxElements {
		return fmt.Errorf("a record would be encoded as %d numbers, more than %d", s.Width(), maxElements)
	}
	return nil
}

func (f *Feature) validate() error {
	numeric := false
	switch f.Type {
	case "":
	case Real, Integer:
		numeric = true
	case Categorical:
	case Boolean:
		if len(f.Categories) != 0 && len(f.Categories) != 2 {
			return errors.New("is boolean, so it has two categories, that of 0 first")
		}
	default:
		return fmt.Errorf("has the unknown type %q: use real, integer, categorical or boolean", f.Type)
	}
	if numeric && len(f.Categories) > 0 {
		return fmt.Errorf("is %s, so it has no categories", f.Type)
	}
	if (f.Type == Categorical || f.Type == Boolean) && (f.Min != nil || f.Max != nil || f.Observed != nil) {
		return fmt.Errorf("is %s, so it has no bounds", f.Type)
	}
	if name, twice := repeated(f.Categories); twice {
		return fmt.Errorf("has the category %q twice", name)
	}
	if err := f.validateAttacker(); err != nil {
		return err
	}
	lower, upper := f.bounds()
	for _, b := range []float64{lower, upper} {
		if math.IsNaN(b) || math.Abs(b) > math.MaxFloat32 {
			return errors.New("has a bound that is no finite 32-bit number")
		}
	}
	if lower > upper {
		return fmt.Errorf("has a minimum of %v above its maximum of %v", lower, upper)
	}
	return nil
}

// validateAttacker checks what is said of an attacker's changes.
func (f *Feature) validateAttacker() error {
	switch {
	case f.Monotone != "" && f.Monotone != Increasing && f.Monotone != Decreasing:
		return fmt.Errorf("has the unknown direction %q under monotone: use increasing or decreasing", f.Monotone)
	case f.Monotone != "" && f.Type == Categorical:
		return errors.New("is categorical, so its values have no order in which they could be monotone")
	case f.Cost != nil && !(*f.Cost >= 0 && *f.Cost <= 1e30):
		return fmt.Errorf("has the cost %v: give a number from 0 to 1e30", *f.Cost)
	}
	return nil
}

// bounds gives the limits where there are any, else the range observed, else 0 and 1.
func (f *Feature) bounds() (lower, upper float64) {
	lower, upper = 0, 1
	if f.Observed != nil {
		lower, upper = f.Observed.Min, f.Observed.Max
	}
	// One limit alone may lie beyond the other end of what was observed.
	if f.Min != nil {
		lower = *f.Min
		if f.Max == nil {
			upper = max(upper, lower)
		}
	}
	if f.Max != nil {
		upper = *f.Max
		if f.Min == nil {
			lower = min(lower, upper)
		}
	}
	return lower, upper
}

// inferred reports whether nothing of the feature is left to infer.
func (f *Feature) inferred() bool {
	switch f.Type {
	case Real, Integer:
		return f.Observed != nil || f.Min != nil && f.Max != nil
	case Categorical, Boolean:
		return len(f.Categories) > 0
	}
	return false
}

func repeated(list []string) (string, bool) {
	seen := make(map[string]bool, len(list))
	for _, s := range list {
		if seen[s] {
			return s, true
		}
		seen[s] = true
	}
	return "", false
}

// elements gives the number of elements of a shape, 1 for an empty one.
func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 1 || d > maxElements/n {
			return 0, fmt.Errorf("the shape %v is not one of 1 to %d elements", shape, maxElements)
		}
		n *= d
	}
	return n, nil
}

func (s *Schema) clone() *Schema {
	c := *s
	c.ColumnNames, c.Drop, c.Shape = slices.Clone(s.ColumnNames), slices.Clone(s.Drop), slices.Clone(s.Shape)
	c.Features = slices.Clone(s.Features)
	c.Label.Classes = slices.Clone(s.Label.Classes)
	return &c
}
