package strict

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Sets are the types whose values are the names of a closed set, with these names.
type Sets map[reflect.Type][]string

// field is a field of a struct as a file has it.
type field struct {
	name  string
	index []int
	owner reflect.Type // the struct that declares it
	in    string       // its name in Go
	typ   reflect.Type
	rules rules
}

// rules are what the tag check asks of a field, in words that spaces part: required,
// name (fit for a file name and an anchor), float32 (a number that is finite as one),
// and min=, max=, above= and below= with a number. In a list, all but required are about each element.
type rules struct {
	required, name         bool
	min, max, above, below *float64
}

// namePattern is what the rule name asks.
const namePattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`

var isName = regexp.MustCompile(namePattern)

// fields gives the fields of a struct, those of embedded structs among them. A tag
// that is no rule is a fault of the program.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		case name != "" && name != "-" && f.IsExported():
			out = append(out, field{name, []int{i}, t, f.Name, f.Type, parseRules(f.Tag.Get("check"))})
		}
	}
	return out
}

func parseRules(tag string) rules {
	var r rules
	for word := range strings.FieldsSeq(tag) {
		key, text, _ := strings.Cut(word, "=")
		number, err := strconv.ParseFloat(text, 64)
		switch {
		case word == "required":
			r.required = true
		case word == "name":
			r.name = true
		case word == "float32":
			lowest, highest := -math.MaxFloat32, math.MaxFloat32
			r.min, r.max = &lowest, &highest
		case key == "min" && err == nil:
			r.min = &number
		case key == "max" && err == nil:
			r.max = &number
		case key == "above" && err == nil:
			r.above = &number
		case key == "below" && err == nil:
			r.below = &number
		default:
			panic(fmt.Sprintf("%q is no rule", word))
		}
	}
	return r
}

// wrong says what is wrong with a number, if anything.
func (r rules) wrong(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "is no finite number: give one"
	case r.min != nil && v < *r.min:
		return fmt.Sprintf("is %v, and must be at least %v", v, *r.min)
	case r.max != nil && v > *r.max:
		return fmt.Sprintf("is %v, and must be at most %v", v, *r.max)
	case r.above != nil && v <= *r.above:
		return fmt.Sprintf("is %v, and must be above %v", v, *r.above)
	case r.below != nil && v >= *r.below:
		return fmt.Sprintf("is %v, and must be below %v", v, *r.below)
	}
	return ""
}

// forms gives the fields of a struct that takes either a text or a group of fields:
// they are tagged form:"text" and form:"fields". Other structs have none.
func forms(t reflect.Type) (text, group reflect.StructField, ok bool) {
	for i := range t.NumField() {
		switch f := t.Field(i); f.Tag.Get("form") {
		case "text":
			text, ok = f, true
		case "fields":
			group, ok = f, true
		}
	}
	return text, group, ok
}

// patterned is a type that is written as a text of a certain pattern.
type patterned interface{ Pattern() string }

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func readsText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshaler) }
