"""Chat templates in the forms that the families' models were trained with, and what they make of a conversation."""

from dataclasses import dataclass, field

SYSTEM = [{"role": "system", "content": "Be brief."}]
ONE = [{"role": "user", "content": "Hi"}]
SEVERAL = [*ONE, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
DEFAULT_PROMPT = "You are a model with a prompt of your own."

LLAMA_2 = (
    "{% if messages[0].role == 'system' %}"
    "{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{% for m in messages %}"
    "{% set turn = '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' %}"
    "{{ (bos_token if loop.first else '') + turn }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ m.content + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles are supported') }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% if messages[0].role == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0].content %}"
    "{% else %}{% set turns = messages %}{% set system = default %}{% endif %}"
    "{% if system %}{{ '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}{% endif %}"
    "{% for m in turns %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
BAR = "\N{FULLWIDTH VERTICAL LINE}"
R1 = (
    "{% set ns = namespace(system='') %}"
    "{% for m in messages %}{% if m.role == 'system' %}{% set ns.system = m.content %}{% endif %}{% endfor %}"
    "{{ bos_token }}{{ ns.system }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '<|User|>' + m.content }}"
    "{% elif m.role == 'assistant' %}"
    "{{ '<|Assistant|>' + m.content.split('</think>')[-1] + '<|end▁of▁sentence|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"
).replace("|", BAR)
GUARD = (
    "{% set role = 'Agent' if messages | length % 2 == 0 else 'User' %}"
    "{{ bos_token + '[INST] Task: Check if there is unsafe content in ' + role + ' messages.\\n' }}"
    "{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '\\n' + ('User' if m.role == 'user' else 'Agent') + ': ' + m.content | trim + '\\n' }}{% endfor %}"
    "{{ '\\nProvide your safety assessment for ' + role + ' [/INST]' }}"
)


@dataclass(frozen=True)
class Form:
    """A template, and the families of docs/models.md that have it. `ends`: of a turn, besides the end token."""

    families: tuple
    source: str
    prompts: dict = field(default_factory=dict)
    ends: tuple = ()
    refused: tuple = ()


def conversation(name):
    return {"one": ONE, "several": SEVERAL, "system": SYSTEM + ONE}[name]


FORMS = {
    "Llama 2": Form(
        ("Llama 2", "CodeLlama"),
        LLAMA_2,
        {
            "one": "<s>[INST] Hi [/INST]",
            "several": "<s>[INST] Hi [/INST] Hello </s><s>[INST] Bye [/INST]",
            "system": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]",
        },
        refused=(SEVERAL[1:],),
    ),
    "Llama 3": Form(
        ("Llama 3", "Llama 3.1, 3.2, 3.3"),
        LLAMA_3,
        {
            "one": (
                "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
            "system": (
                "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
        },
        ("<|eot_id|>",),
    ),
    "Mistral": Form(
        ("Mistral", "Mixtral"),
        MISTRAL,
        {"one": "<s>[INST] Hi [/INST]", "several": "<s>[INST] Hi [/INST]Hello</s>[INST] Bye [/INST]"},
        refused=(SYSTEM + ONE,),
    ),
    "ChatML": Form(
        ("MPT",),
        CHATML.replace("default", "''"),
        {
            "one": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
            "several": (
                "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
                "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
            ),
        },
        ("<|im_end|>",),
    ),
    "DBRX": Form(
        ("DBRX",),
        CHATML.replace("default", repr(DEFAULT_PROMPT)),
        {
            "one": (
                f"<|im_start|>system\n{DEFAULT_PROMPT}<|im_end|>\n"
                "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
            ),
            "system": (
                "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
            ),
        },
        ("<|im_end|>",),
    ),
    "DeepSeek-R1 distills": Form(
        ("DeepSeek-R1 distills (Llama)", "DeepSeek-R1 distills (Qwen2)"),
        R1,
        {
            "one": f"<s><{BAR}User{BAR}>Hi<{BAR}Assistant{BAR}><think>\n",
            "system": f"<s>Be brief.<{BAR}User{BAR}>Hi<{BAR}Assistant{BAR}><think>\n",
        },
    ),
    "LlamaGuard": Form(
        ("LlamaGuard",),
        GUARD,
        {
            "one": (
                "<s>[INST] Task: Check if there is unsafe content in User messages.\n"
                "\nUser: Hi\n\nProvide your safety assessment for User [/INST]"
            ),
        },
        refused=(SEVERAL[1:],),
    ),
}
