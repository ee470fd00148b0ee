package report

import (
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Map copies a document, with every text passed through a function, and an empty list
// for every nil one.
func (d *Document) Map(text func(string) string) *Document {
	return mapped(reflect.ValueOf(d), text).Interface().(*Document)
}

func mapped(v reflect.Value, text func(string) string) reflect.Value {
	switch {
	case v.Kind() == reflect.String:
		c := reflect.New(v.Type()).Elem()
		c.SetString(text(v.String()))
		return c
	case v.Kind() == reflect.Pointer && !v.IsNil():
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(mapped(v.Elem(), text))
		return c
	case v.Kind() == reflect.Slice:
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		if v.Type().Elem().Kind() == reflect.Uint8 { // pictures: many bytes and no text
			reflect.Copy(c, v)
			return c
		}
		for i := range v.Len() {
			c.Index(i).Set(mapped(v.Index(i), text))
		}
		return c
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		c := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			c.Field(i).Set(mapped(v.Field(i), text))
		}
		return c
	}
	return v
}

// ValidUTF8 puts U+FFFD for what is no UTF-8.
func ValidUTF8(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// Printable puts U+FFFD for what would not show as itself: control characters but
// line feed and tab, those that reverse the direction of the text after them, so that a name
// could show as another, and what is no UTF-8.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		turns := r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 // Unicode Standard Annex 9, section 2
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || turns || r&0xfffe == 0xfffe) {
			return unicode.ReplacementChar
		}
		return r
	}, ValidUTF8(text))
}
