"""Words for the generators."""

_WORDS = """
acorn amber anchor badger barley basil beacon birch bramble breeze canyon cedar cinder clover cobalt copper
coral dapple delta ember falcon fennel fjord garnet ginger glacier harbor hazel heron hollow indigo island
ivory jasper juniper kestrel lagoon lantern laurel linden lupin maple marble meadow nectar nettle ochre orchid
otter pebble pepper quarry quartz raven reed saffron sage thicket thistle timber tulip umber valley velvet
walnut willow
"""
_LADDER_WORDS = """
bad bag bat bed beg bet bid big bin bit bog box bud bug bun but cab can cap car cat cob cod cog con cop cot
cub cud cup cut dad dam den did dig dim din dip dog dot dub dug dun fan fat fin fit fix fog fox fun gab gap
gas gem get gum gun had ham hat hem hen hid him hip his hit hog hop hot hub hug hum hut jab jam jet jig job
jog jot jug lab lad lag lap led leg let lid lip lit log lot mad man map mat men met mob mop mud mug nap net
nip nod not nun nut pad pan pat peg pen pet pig pin pit pod pop pot pub pug pun rag ram ran rap rat red rib
rid rig rim rip rob rod rot rub rug run sad sag sap sat set sip sit sob sum sun tab tag tan tap tar ten tin
tip ton top tub tug van vat vet wag web wed wet wig win wit
"""

WORDS = tuple(_WORDS.split())
"""For sorting and ciphers: lower case, no two alike, none a part of an instruction."""

LADDER_WORDS = tuple(_LADDER_WORDS.split())
"""Three letters each, many of them one letter apart."""
