package system

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParseRelation(t *testing.T) {
	for text, want := range map[string]Relation{
		`a <= b`:                             {Terms: []Term{{"a", 1}, {"b", -1}}},
		`a >= b`:                             {Terms: []Term{{"a", -1}, {"b", 1}}},
		`a + 2*b <= 10`:                      {Terms: []Term{{"a", 1}, {"b", 2}}, Bound: 10},
		`"mean radius"<='worst "radius"'`:    {Terms: []Term{{"mean radius", 1}, {`worst "radius"`, -1}}},
		` - a*.5 + 1e1 - 3 <= +2.5 - x_1.y `: {Terms: []Term{{"a", -.5}, {"x_1.y", 1}}, Bound: -4.5},
		`a + a - 3 * a <= 0`:                 {Terms: []Term{{"a", -1}}},
		`a + b <= b + 7`:                     {Terms: []Term{{"a", 1}}, Bound: 7},
		`1 <= größe`:                         {Terms: []Term{{"größe", -1}}, Bound: -1},
		`2E-1*a<=1e+2`:                       {Terms: []Term{{"a", .2}}, Bound: 100},
		"a\n  <=\tb":                         {Terms: []Term{{"a", 1}, {"b", -1}}},
		`e1 <= 2*e`:                          {Terms: []Term{{"e1", 1}, {"e", -2}}},
	} {
		want.Text = text
		if got, err := ParseRelation(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]RelationError{
		``:                                     {0, `here must be a feature or a number, not the end`},
		`a`:                                    {1, `here must be + or - and a term, or <= or >= and the other side, not the end`},
		`a < b`:                                {2, `not "<"`},
		`a == b`:                               {2, `not "="`},
		`a <= b <= c`:                          {7, `here must be the end, or + or - and a term, not "<"`},
		`a * b <= 1`:                           {4, `the relation must be linear`},
		`2 * 3 <= a`:                           {4, `here must be a feature or a number, not "3"`},
		`a <= "b`:                              {5, `a name in quotes begins here, and does not end`},
		`a <= ""`:                              {5, `a name in quotes begins here`},
		`größe + <= 1`:                         {8, `not "<"`},
		`1 <= 2`:                               {0, `says nothing of any feature`},
		`a <= a`:                               {0, `says nothing of any feature`},
		`1e999 <= a`:                           {0, `1e999 is no finite number`},
		`1e308*a + 1e308*a <= 1`:               {0, `the weight of "a" is no finite number`},
		`a <= 1e308 + 1e308`:                   {0, `the sum of the numbers is not finite`},
		`a(b) <= 1`:                            {1, `not "("`},
		"a \xff <= 1":                          {0, `text in UTF-8`},
		strings.Repeat("a", maxRelationText+1): {0, `at most 65536 bytes`},
	} {
		_, err := ParseRelation(text)
		var e *RelationError
		if !errors.As(err, &e) || e.At != want.At || !strings.Contains(e.Problem, want.Problem) {
			t.Errorf("%.40s: got %+v, want %+v", text, err, want)
		}
	}
	terms := "0"
	for i := range maxRelationTerm + 1 {
		terms += fmt.Sprintf("+a%d", i)
	}
	if _, err := ParseRelation(terms + "<=1"); err == nil || !strings.Contains(err.Error(), "more than 4096 features") {
		t.Errorf("got %v", err)
	}
}

// FuzzParseRelation holds what is read against what is written of it: the terms and
// bound, written out, are the same relation.
func FuzzParseRelation(f *testing.F) {
	for _, text := range []string{`a <= b`, `a + 2*b <= 10`, `"x y" >= -1e-3*z`, `1 - a*2 <= 'q' + 0.5`, `a <=`, `* <= `} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRelation(text)
		if err != nil {
			var e *RelationError
			if !errors.As(err, &e) || e.At < 0 || e.At > len(text) || e.Problem == "" {
				t.Errorf("the error is %#v", err)
			}
			return
		}
		out := strings.Builder{}
		for i, term := range r.Terms {
			quote := `"`
			if strings.Contains(term.Feature, quote) {
				quote = "'"
			}
			if term.Weight == 0 || math.IsInf(term.Weight, 0) || math.IsNaN(term.Weight) {
				t.Errorf("a weight of %v", term.Weight)
			}
			sign := "+"
			if term.Weight < 0 {
				sign = "-"
			}
			if i == 0 && sign == "+" {
				sign = ""
			}
			fmt.Fprintf(&out, "%s %v * %s%s%s ", sign, math.Abs(term.Weight), quote, term.Feature, quote)
		}
		again, err := ParseRelation(fmt.Sprintf("%s <= %v", out.String(), r.Bound))
		if err != nil || !reflect.DeepEqual(again.Terms, r.Terms) || again.Bound != r.Bound {
			t.Errorf("%q is %+v, and written out %+v, %v", text, r, again, err)
		}
	})
}
