package jinja

import "testing"

func TestHarmless(t *testing.T) {
	for _, s := range []string{
		"", "plain", "{# a comment __class__ #}",
		"{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
		"{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{{ '[INST] ' + content.strip() + ' [/INST]' }}{% endfor %}",
		"{%- macro json_to_python_type(spec) %}{%- set types = {'string': 'str'} %}{{- types[spec.type] }}{%- endmacro %}{%- set ns = namespace(found=false) -%}{{ json_to_python_type(x) }}{{ tools | map(attribute='function') | list | tojson(indent=2) }}{% if x is defined and y is not none %}{{ strftime_now('%d %b %Y') }}{% endif %}",
		"{% raw %}{{ x.__class__() }}{% endraw %}",
		"{{ message.content.split('</think>')[-1].lstrip('\\n') }}{{ (a + b) | length }}{% for k, v in d.items() %}{{ k ~ v }}{% endfor %}{% if (a or (b)) and not (c) %}{% endif %}",
	} {
		if got := Judge(s); got != nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestDangerous(t *testing.T) {
	for _, s := range []string{
		"{{ ''.__class__.__mro__[1].__subclasses__() }}",
		"{% for x in ().__class__.__base__.__subclasses__() %}{% if 'warning' in x.__name__ %}{{ x()._module.__builtins__['__import__']('os').popen('id') }}{% endif %}{% endfor %}",
		"{{ lipsum['__glo' ~ 'bals__']['os'] }}",
		"{{ x|attr('y') }}", "{{ x | attr(y) }}",
		"{{ (lipsum|string)[3] }}{{ a[b]('id') }}",
		"{{ cycler.init.globals.os.popen('id') }}",
		"{% set range = x[y] %}{{ range('id') }}",
		"{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}",
		"{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
		"{{ config.items }}{{ self._TemplateReference__context }}",
		"{{ x | map('attr', 'y') | list }}", "{{ x | map(f) }}",
		"{{ eval('1') }}", "{{ x", "{{ (x)(y) }}",
		"{% macro f(x=eval('1')) %}{% endmacro %}",
		"{% macro f() %}{% endmacro %}{% set f = a[b] %}{{ f('id') }}",
		"{{ ''.ｐopen('x') }}",
	} {
		if len(Judge(s)) == 0 {
			t.Errorf("nothing was told of %q", s)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("{% for m in messages %}{{ m['a'] | tojson }}{% endfor %}")
	f.Add("{% raw %}{{ x.__class__() }}{% endraw %}{# c #}{{ 'a\\'")
	f.Fuzz(func(_ *testing.T, s string) { Judge(s) })
}
