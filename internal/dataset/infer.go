package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// inputs finds the cell of each feature and of the label in a table; the label's is -1 without labels.
func (s *Schema) inputs(l layout, unlabelled bool) (inputs []int, label int, err error) {
	label = -1
	position := index[int](l.columns)
	if !unlabelled {
		at, ok := position[s.Label.Name]
		if !ok {
			return nil, 0, fmt.Errorf("there is no column %s for the label; there are %s", quote(s.Label.Name), listing(l.columns))
		}
		label = at
	}
	if len(s.Shape) > 0 {
		for i, name := range l.columns {
			if i != label && !slices.Contains(s.Drop, name) {
				inputs = append(inputs, i)
			}
		}
		if n, _ := elements(s.Shape); n != len(inputs) {
			return nil, 0, fmt.Errorf("the shape %v has %d elements, but there are %d feature columns", s.Shape, n, len(inputs))
		}
		return inputs, label, nil
	}
	for i := range s.Features {
		at, ok := position[s.Features[i].Name]
		if !ok {
			return nil, 0, fmt.Errorf("there is no column for the feature %s; there are %s", quote(s.Features[i].Name), listing(l.columns))
		}
		inputs = append(inputs, at)
	}
	return inputs, label, nil
}

func listing(names []string) string {
	const limit = 12
	shown := make([]string, 0, limit)
	for _, n := range names[:min(limit, len(names))] {
		shown = append(shown, quote(n))
	}
	if len(names) > limit {
		shown = append(shown, fmt.Sprintf("… (%d in all)", len(names)))
	}
	return strings.Join(shown, ", ")
}

// plan fits a user's schema to a layout: every feature and the label are named, but
// types, bounds, categories and classes may still be open.
func plan(user *Schema, l layout, unlabelled bool) (*Schema, error) {
	s := user.clone()
	if unlabelled {
		s.Label.Classes = nil
	}
	if l.shape != nil {
		return s, s.planArray(l, unlabelled)
	}
	if err := s.planLabel(l.columns, l.label, unlabelled); err != nil {
		return nil, err
	}
	known := map[string]bool{s.Label.Name: true}
	for _, name := range s.Drop {
		known[name] = true
	}
	if name := missingFrom(l.columns, s.Drop); name != "" && !s.Complete {
		return nil, fmt.Errorf("the schema drops a column %s that there is not; there are %s", quote(name), listing(l.columns))
	}
	for _, name := range l.columns {
		if why := l.unsupported[name]; why != "" && !slices.Contains(s.Drop, name) {
			return nil, fmt.Errorf("the column %s cannot be read: %s; list it under drop in the schema", quote(name), why)
		}
	}
	if len(s.Shape) > 0 {
		if len(s.Features) == 0 {
			s.Features = []Feature{{Name: "value"}}
		}
		return s, nil
	}
	given := map[string]Feature{}
	for _, f := range s.Features {
		given[f.Name] = f
	}
	if name := missingFrom(l.columns, featureNames(s.Features)); name != "" {
		return nil, fmt.Errorf("there is no column for the feature %s; there are %s", quote(name), listing(l.columns))
	}
	var features []Feature
	for _, name := range l.columns {
		f, ok := given[name]
		switch {
		case known[name]:
			continue
		case !ok && s.Complete:
			return nil, fmt.Errorf("the column %s is not in the schema: add it as a feature, or list it under drop", quote(name))
		case !ok:
			f.Name = name
		}
		features = append(features, f)
	}
	if !s.Complete { // else the schema's own order holds
		s.Features = features
	}
	if len(s.Features) == 0 {
		return nil, errors.New("there are no features: no column is left beside the label")
	}
	return s, nil
}

// planLabel names the label: the user's choice, the format's, a column with a name
// that says so, or the last column.
func (s *Schema) planLabel(columns []string, formats string, unlabelled bool) error {
	if unlabelled {
		if s.Label.Name != "" && slices.Contains(columns, s.Label.Name) {
			s.Drop = append(s.Drop, s.Label.Name) // a label that is there all the same is no feature
		}
		return nil
	}
	s.Label.Name = cmp.Or(s.Label.Name, formats)
	for _, usual := range []string{"label", "class", "target", "y"} {
		for _, name := range columns {
			if s.Label.Name == "" && strings.EqualFold(name, usual) {
				s.Label.Name = name
			}
		}
	}
	if s.Label.Name == "" && len(columns) > 0 {
		s.Label.Name = columns[len(columns)-1]
	}
	if !slices.Contains(columns, s.Label.Name) {
		return fmt.Errorf("there is no column %s for the label; there are %s", quote(s.Label.Name), listing(columns))
	}
	if slices.Contains(s.Drop, s.Label.Name) || slices.Contains(featureNames(s.Features), s.Label.Name) {
		return fmt.Errorf("the label %s is also dropped or a feature in the schema", quote(s.Label.Name))
	}
	return nil
}

func (s *Schema) planArray(l layout, unlabelled bool) error {
	if !unlabelled {
		if l.label == "" {
			return errors.New("there are no labels beside the arrays: name a file of labels, or read the data as unlabelled")
		}
		s.Label.Name = cmp.Or(s.Label.Name, l.label)
		if len(s.Label.Classes) == 0 {
			s.Label.Classes = l.classes
		}
	}
	if len(s.Shape) == 0 {
		s.Shape = inferShape(l)
	}
	if len(s.Features) == 0 {
		s.Features = []Feature{{Name: "value"}}
	}
	if f := &s.Features[0]; l.pixels && !f.inferred() {
		f.Type = cmp.Or(f.Type, Integer)
		if f.Min == nil {
			f.Min = new(float64)
		}
		if f.Max == nil {
			white := 255.0
			f.Max = &white
		}
	}
	_, err := turned(l.shape, s.Shape)
	return err
}

// inferShape recognises images: height, width, channels are turned so that the
// channels come first, and a plane of pixels is an image of one channel.
func inferShape(l layout) []int {
	d := l.shape
	channels := func(n int) bool { return n == 1 || n == 3 || n == 4 }
	switch {
	case len(d) == 2 && l.pixels:
		return []int{1, d[0], d[1]}
	case len(d) == 3 && channels(d[2]) && !channels(d[0]):
		return []int{d[2], d[0], d[1]}
	}
	return slices.Clone(d)
}

// infer fills what the schema leaves open, by one pass over the records if need be.
func (s *Schema) infer(ctx context.Context, f format, l layout, unlabelled bool) error {
	open := !unlabelled && len(s.Label.Classes) == 0
	for i := range s.Features {
		open = open || !s.Features[i].inferred()
	}
	if open {
		if err := s.observe(ctx, f, l, unlabelled); err != nil {
			return err
		}
	}
	s.Complete = true
	return s.Validate()
}

func (s *Schema) observe(ctx context.Context, f format, l layout, unlabelled bool) error {
	var inputs []int
	label := -1
	if l.shape == nil {
		var err error
		if inputs, label, err = s.inputs(l, unlabelled); err != nil {
			return err
		}
	}
	budget := categoryBudget
	profiles := make([]profile, len(s.Features))
	for i := range profiles {
		profiles[i] = newProfile(&s.Features[i], &budget)
	}
	classes := profile{texts: map[string]int{}, limit: maxClasses, budget: &budget}
	known := s.Features[0].inferred() // as pixels are: the pass is for the labels
	records := 0
	err := f.records(ctx, func(r *record) error {
		if r.bad != nil {
			return nil // reported when it is read
		}
		records++
		if !known {
			for _, v := range r.values {
				profiles[0].number(float64(v))
			}
		}
		for i, input := range inputs {
			if len(s.Shape) > 0 {
				i = 0
			}
			profiles[i].add(r.cells[input])
		}
		if unlabelled || len(s.Label.Classes) > 0 {
			return nil
		}
		c := r.label
		if label >= 0 {
			c = r.cells[label]
		}
		return classes.class(c)
	})
	if err != nil {
		return err
	}
	if records == 0 {
		return errors.New("there is no record to infer the schema from")
	}
	for i := range s.Features {
		if err := profiles[i].conclude(&s.Features[i]); err != nil {
			return fmt.Errorf("the column %s %w", quote(s.Features[i].Name), err)
		}
	}
	if !unlabelled && len(s.Label.Classes) == 0 {
		if s.Label.Classes, err = classes.classes(records); err != nil {
			return fmt.Errorf("the label %s %w", quote(s.Label.Name), err)
		}
	}
	return nil
}

// categoryBudget bounds the texts that inference keeps, in bytes.
const categoryBudget = 64 << 20

// profile is what inference keeps of one feature's values.
type profile struct {
	numbers, words  int // how many values are numbers, how many other texts
	fractions, huge bool
	zeroOne         bool // no number but 0 and 1
	truths          int  // how many texts are true or false
	min, max        float64
	texts           map[string]int // every different text, and how often; nil once given up
	limit           int            // of texts
	declared        Type
	budget          *int
}

func newProfile(f *Feature, budget *int) profile {
	p := profile{zeroOne: true, min: math.Inf(1), max: math.Inf(-1), declared: f.Type, limit: maxCategories, budget: budget}
	if f.Type != Real && f.Type != Integer {
		p.texts = map[string]int{}
	}
	if f.Type == Categorical {
		p.limit = maxColumns
	}
	if f.Missing != "" && f.Type == Categorical {
		p.keep(f.Missing)
	}
	return p
}

func (p *profile) number(v float64) {
	if !(math.Abs(v) <= math.MaxFloat32) {
		return // reported when it is read
	}
	p.numbers++
	p.fractions = p.fractions || v != math.Trunc(v)
	p.huge = p.huge || float64(float32(v)) != v
	p.zeroOne = p.zeroOne && (v == 0 || v == 1)
	p.min, p.max = min(p.min, v), max(p.max, v)
}

func (p *profile) add(c cell) {
	if c.empty() {
		return
	}
	v, ok := c.float()
	if c.typed && !ok {
		return // a number that is not finite makes no text of a column of numbers: reported when it is read
	}
	switch {
	case ok:
		p.number(v)
	case c.missing():
	default:
		p.words++
		if strings.EqualFold(c.text, "true") || strings.EqualFold(c.text, "false") {
			p.truths++
		}
	}
	if p.texts == nil {
		return
	}
	// A column of nothing but numbers has no categories to keep, unless it was declared so.
	if p.declared == "" && p.words == 0 && p.numbers > maxCategories {
		p.texts = nil
		return
	}
	if ok {
		p.keep(formatNumber(v))
		return
	}
	p.keep(c.String())
}

// keep counts a text, and gives up where there are too many.
func (p *profile) keep(text string) {
	if n, ok := p.texts[text]; ok {
		p.texts[text] = n + 1
		return
	}
	if !utf8.ValidString(text) {
		return
	}
	if *p.budget -= len(text) + 64; *p.budget < 0 || len(p.texts) >= p.limit {
		p.texts = nil
		return
	}
	p.texts[strings.Clone(text)] = 1
}

// conclude fills what the feature leaves open.
func (p *profile) conclude(f *Feature) error {
	if f.inferred() {
		return nil
	}
	if f.Type == "" {
		f.Type = p.typ()
	}
	switch f.Type {
	case Boolean:
		f.Categories = []string{"0", "1"}
		if p.numbers == 0 {
			f.Categories = slices.Sorted(maps.Keys(p.texts))
		}
		if len(f.Categories) != 2 {
			return errors.New("is boolean, but its values are not 0 and 1 nor two texts: list its categories in the schema")
		}
	case Categorical:
		if p.texts == nil {
			return errors.New("has too many different texts to be categories: list it under drop in the schema, or declare its type and categories")
		}
		if f.Categories = slices.Sorted(maps.Keys(p.texts)); p.words == 0 {
			slices.SortFunc(f.Categories, byNumber)
		}
		if len(f.Categories) == 0 {
			return errors.New("has no value at all: list it under drop in the schema")
		}
	default:
		if p.numbers == 0 {
			return errors.New("has no number in it: list it under drop in the schema, or declare its type")
		}
		f.Observed = &Range{Min: float64(float32(p.min)), Max: float64(float32(p.max))}
		f.clip()
	}
	return nil
}

// clip keeps the observed range within the limits: records outside are bad records.
func (f *Feature) clip() {
	if f.Min != nil {
		f.Observed.Min, f.Observed.Max = max(f.Observed.Min, *f.Min), max(f.Observed.Max, *f.Min)
	}
	if f.Max != nil {
		f.Observed.Min, f.Observed.Max = min(f.Observed.Min, *f.Max), min(f.Observed.Max, *f.Max)
	}
}

// typ decides: a column whose values are numbers in nine of ten cases is meant to
// be numbers, and the rest are mistakes to report.
func (p *profile) typ() Type {
	switch {
	case p.numbers < 9*p.words || p.numbers == 0:
		if p.numbers == 0 && p.truths > 0 && p.truths == p.words && len(p.texts) == 2 {
			return Boolean
		}
		return Categorical
	case p.words == 0 && p.zeroOne && p.min < p.max:
		return Boolean
	case p.fractions || p.huge:
		return Real
	}
	return Integer
}

// class counts a label.
func (p *profile) class(c cell) error {
	if c.empty() {
		return nil
	}
	if v, ok := c.float(); ok {
		p.numbers++
		p.fractions = p.fractions || v != math.Trunc(v)
		c = cell{text: formatNumber(v)}
	} else {
		p.words++
	}
	if p.keep(c.String()); p.texts == nil {
		return errors.New("the label has too many different values to be classes: choose another column as the label")
	}
	return nil
}

// classes concludes the label's classes: sorted, numbers by their value.
func (p *profile) classes(records int) ([]string, error) {
	classes := slices.Sorted(maps.Keys(p.texts))
	const few = 20
	switch {
	case len(classes) == 0:
		return nil, errors.New("is empty in every record")
	case len(classes) > few && (p.fractions || len(classes) > records/2):
		return nil, fmt.Errorf("has %d different values in %d records, which are no classes: choose another column as the label", len(classes), records)
	}
	if p.words == 0 {
		slices.SortFunc(classes, byNumber)
	}
	return classes, nil
}

func byNumber(a, b string) int {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
}

func featureNames(features []Feature) []string {
	names := make([]string, len(features))
	for i := range features {
		names[i] = features[i].Name
	}
	return names
}

// missingFrom gives the first of names that is not in columns.
func missingFrom(columns, names []string) string {
	have := index[int](columns)
	for _, n := range names {
		if _, ok := have[n]; !ok {
			return n
		}
	}
	return ""
}
