"""Wildbook's configuration and request as the host has them, small, and the same with our options attached."""

from pairx_plugin.hosts.wildbook.parameters import with_our_parameters, with_our_values


class ParamInfo:
    """What the host's configuration asks of a parameter, as utool's class has it."""

    def __init__(self, varname, default=None, type_="infer", hideif=None):
        self.varname, self.default, self.hideif = varname, default, hideif
        self.type_ = (type(default) if default is not None else None) if type_ == "infer" else type_

    def item(self, config):
        value = getattr(config, self.varname)
        hidden = self.hideif(config) if callable(self.hideif) else self.hideif is not None and value == self.hideif
        return [] if hidden else [f"{self.varname}={value}"]


class Config:
    """The host's configuration: known keys only, strict types, and a string that its caches are named by."""

    def __init__(self, **values):
        listed = {item.varname: item for item in self.get_param_info_list()}
        for name, item in listed.items():
            setattr(self, name, item.default)
        for key, value in values.items():
            key = key[len("MiewId_"):] if key.startswith("MiewId_") else key
            if key in listed:
                if listed[key].type_ is not None and value is not None and type(value) is not listed[key].type_:
                    raise TypeError(f"{key} is {value!r}")
                setattr(self, key, value)

    def get_param_info_list(self):
        rerank = [ParamInfo("pairx_alpha", 0.8), ParamInfo("pairx_rerank", False)]
        return [ParamInfo("use_knn", True, hideif=True), *rerank]

    def string(self):
        return ",".join(part for item in self.get_param_info_list() for part in item.item(self))


class Request:
    """The host's request: made of a configuration, whose values it remembers and whose source it forgets."""

    config_class = Config

    @classmethod
    def new(cls, depc, qaids, daids, cfgdict=None, tablename=None):
        request = cls()
        request.config = cls.config_class(**(cfgdict or {}))
        request.params = dict(vars(request.config))
        return request


def attached(server=None):
    server = server or {}
    config = type("Attached", (Config,), {})
    config.get_param_info_list = with_our_parameters(Config.get_param_info_list, ParamInfo, server)
    request = type("AttachedRequest", (Request,), {"config_class": config})
    request.new = classmethod(with_our_values(Request.new.__func__, server))
    return lambda **values: request.new(None, [1], [2], values, tablename="MiewId")
